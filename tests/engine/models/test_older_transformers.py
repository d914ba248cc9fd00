"""What Retort saves, read by the last transformers of the fourth line in an environment of its own.

`RETORT_PY4=/somewhere/bin/python` names a Python with it; without one an environment is made where pip can install
`transformers==4.57.6`, and otherwise the tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer

from core.engine.models.architectures import adapter_for
from core.engine.models.load import load_model
from core.engine.models.probes import PROBES
from core.engine.models.save import save_model
from core.engine.prune.surgery import Keep, cut
from tests.engine.models.wild import ROPES, stretched, tokenizer_files
from tests.engine.models.zoo import CONFIGS, ids, output, tiny

pytestmark = pytest.mark.long

VERSION = "4.57.6"
CHILD = Path(__file__).with_name("older_child.py")


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Asks the other Python about one saved model."""
    python = os.environ.get("RETORT_PY4") or _made(tmp_path_factory.mktemp("older"))
    process = subprocess.Popen(
        [python, "-I", str(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert process.stdin is not None and process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def ask(folder: Path, tokens: torch.Tensor, logits: torch.Tensor, texts: tuple[str, ...] = ()) -> dict[str, Any]:
        expected = folder.with_suffix(".expected")
        save_file({"ids": tokens.contiguous(), "logits": logits.contiguous()}, expected)
        stdin.write(json.dumps({"folder": str(folder), "expected": str(expected), "texts": texts}) + "\n")
        stdin.flush()
        for line in stdout:
            if line.startswith("ANSWER"):
                found: dict[str, Any] = json.loads(line.removeprefix("ANSWER"))
                assert found["version"].startswith("4."), found
                return found
        raise AssertionError("the other Python ended without an answer")

    yield ask
    process.stdin.close()
    process.wait(timeout=60)


def _made(folder: Path) -> str:
    """An environment with the older version, or a skip that says why there is none."""
    steps = (
        [sys.executable, "-m", "venv", str(folder)],
        [str(folder / "bin" / "pip"), "install", "-q", f"torch=={torch.__version__.split('+')[0]}"],
        [str(folder / "bin" / "pip"), "install", "-q", f"transformers=={VERSION}"],
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(
                f"needs an environment with transformers {VERSION}, which could not be made: {done.stderr[-200:]}"
            )
    return str(folder / "bin" / "python")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_computes_the_same(name: str, older: Any, tmp_path: Path) -> None:
    """One layer fewer, saved: the same logits, and not a tensor too many or too few."""
    model = tiny(name)
    new = cut(model, adapter_for(model), Keep([0, 1, 3]))
    save_model(new, None, tmp_path / "out", {})
    found = older(tmp_path / "out", ids(), output(new, ids()))
    assert "error" not in found, found
    assert found["difference"] <= 1e-4 and not found["missing"] and not found["unexpected"], found


@pytest.mark.parametrize("name", ROPES)
def test_every_kind_of_stretched_positions_is_the_same(name: str, older: Any, tmp_path: Path) -> None:
    model = stretched(name)
    save_model(model, None, tmp_path / "out", {})
    tokens = torch.randint(3, 96, (2, 60), generator=torch.Generator().manual_seed(2))
    found = older(tmp_path / "out", tokens, output(model, tokens))
    assert "error" not in found, found
    assert found["difference"] <= 1e-4, found


def test_tokenizers_cut_the_same_and_keep_their_special_tokens(older: Any, tiny_llama: Path, tmp_path: Path) -> None:
    loaded = load_model(tiny_llama, "float32")
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", {})
    found = older(tmp_path / "out", ids(), output(loaded.model, ids()), PROBES)
    assert "error" not in found, found
    assert found["tokens"] == [loaded.tokenizer(t, add_special_tokens=False)["input_ids"] for t in PROBES]
    assert found["special"] == sorted(loaded.tokenizer.all_special_tokens)


def test_a_tokenizer_that_transformers_5_replaces_is_read_as_its_file_says(
    older: Any, tiny_llama: Path, tmp_path: Path
) -> None:
    file = tokenizer_files(tiny_llama, tmp_path / "in", "metaspace", model_type="qwen2")
    loaded = load_model(tmp_path / "in", "float32")
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", {})
    found = older(tmp_path / "out", ids(), output(loaded.model, ids()), PROBES)
    assert "error" not in found, found
    assert found["tokens"] == [file.encode(text, add_special_tokens=False).ids for text in PROBES]
    again = AutoTokenizer.from_pretrained(tmp_path / "out")  # transformers 5 still replaces it: the card says so
    assert again("Hello world, the game")["input_ids"] != file.encode("Hello world, the game").ids
    assert "PreTrainedTokenizerFast.from_pretrained" in (tmp_path / "out" / "README.md").read_text()
