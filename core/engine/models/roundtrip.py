"""The proof that a saved model is portable: reloaded in a fresh process by plain transformers and compared."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from core.base.errors import RetortError
from core.recipe.results import RoundTrip

_CHILD = Path(__file__).with_name("reload_process.py")
_START_SECONDS = 180.0


class ReloadProcess:
    """One child process that imports torch and transformers only, and forks a clean copy for each check.

    Use it as a context manager around all candidates of a run: the libraries are imported once. A child
    that died or hung is started again at the next check.
    """

    def __init__(self, timeout: float = 600.0) -> None:
        self.timeout = timeout
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()

    def __enter__(self) -> ReloadProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def check(
        self,
        folder: Path,
        input_ids: Tensor,
        expected_logits: Tensor,
        *,
        decoder_input_ids: Tensor | None = None,
        prompt: int = 16,
        new_tokens: int = 8,
    ) -> RoundTrip:
        """Reloads the model in `folder` and compares it with the model it was saved from.

        Args:
            folder: a saved model.
            input_ids: (batch, length) token ids.
            expected_logits: what the model gave for them before it was saved (last hidden states for a
                model without a head), with no attention mask.
            decoder_input_ids: what the decoder of an encoder-decoder read with them, (batch, length).
            prompt: tokens of the first row that `generate` continues, or writes a target to.
            new_tokens: tokens it writes with and without the key-value cache, which must be the same.

        Raises:
            RetortError: the model does not load, its output has another shape, or the process hung or died.
        """
        with tempfile.TemporaryDirectory() as scratch:
            tensors = Path(scratch) / "expected.safetensors"
            held = {"input_ids": input_ids, "logits": expected_logits.detach()}
            if decoder_input_ids is not None:
                held["decoder_input_ids"] = decoder_input_ids
            save_file({name: tensor.cpu().contiguous() for name, tensor in held.items()}, tensors)
            answer = self._ask(
                {
                    "folder": str(Path(folder).resolve()),
                    "tensors": str(tensors),
                    "prompt": prompt,
                    "new_tokens": new_tokens,
                    "threads": torch.get_num_threads(),
                }
            )
        if "error" in answer:
            raise RetortError(
                f"The saved model in '{Path(folder).name}' failed in a fresh process: {answer['error'][:300]}.",
                "The model is not portable as it is: report this with the run's report.",
            )
        if answer.pop("foreign_modules"):
            raise RetortError("The fresh process was not fresh.", "Start Retort from outside its own folders.")
        return RoundTrip(**answer)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self._started()
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it died meanwhile: reading says so
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        return self._read(self.timeout)

    def _started(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.stop()
        self._lines = queue.Queue()
        # -I: no environment variables, no user packages and not this folder on the path.
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )
        threading.Thread(target=_pump, args=(self._process, self._lines), daemon=True).start()
        self._read(_START_SECONDS)
        return self._process

    def _read(self, timeout: float) -> dict[str, Any]:
        """The next line of the child, or a RetortError once it is dead or too slow."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self.stop()
            raise RetortError(
                f"The fresh process gave no answer in {timeout:.0f} seconds.",
                "Try again when the machine is less busy.",
            ) from None
        if line is None:
            self.stop()
            raise RetortError(
                "The fresh process that reloads the saved model ended before it answered.",
                "Most likely memory ran out: close other programs and try again.",
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        """Ends the child and whatever it forked."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None and not process.stdin.closed:
            with contextlib.suppress(OSError):
                process.stdin.close()
        _end_group(process)
        process.wait()


def _end_group(process: subprocess.Popen[str]) -> None:
    """Kills the child's own session (its forks hold a model's memory); only the child where there are none."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _pump(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    """Reads the child in the background, so that a timeout can be kept. None marks its end."""
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)
