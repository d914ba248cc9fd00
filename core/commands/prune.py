"""`prune`: zeroes weights of a model that may be larger than memory, file by file, into a new folder."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from pydantic import ValidationError

from core.base.errors import RetortError
from core.base.private_files import hand_on
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.references import resolve
from core.commands.terminal import put, put_json, say
from core.jobs.preview.device import take_device
from core.jobs.waiting import device_user
from core.recipe.messages import sentences
from core.recipe.recipe import Calibration, Prune
from core.registry.formatting import percent
from core.registry.methods import METHODS
from core.store import Store
from core.store.problems import plain_errors


def prune(chosen: argparse.Namespace, settings: Settings) -> int:
    """Prunes in a process of its own, which holds embeddings and one block at a time.

    Raises:
        RetortError: the model, the method or the amount is none, the target exists, or the process was lost.
    """
    try:
        step = Prune(method=chosen.method, sparsity=chosen.sparsity, pattern=chosen.pattern, mode=chosen.mode)
        calibration = Calibration(sequences=chosen.sequences, length=chosen.length)
    except ValidationError as error:
        said = "; ".join(s.rstrip(".") for s in sentences(error))
        raise RetortError(f"This cannot be pruned: {said}.", "See 'python -m core prune --help'.") from None
    request = {
        "home": str(settings.home),
        "role": LOCAL.role,
        "folder": str(resolve(chosen.model, settings, LOCAL).folder),
        "target": str(chosen.out.resolve()),
        "prune": step.model_dump(mode="json"),
        "calibration": calibration.model_dump(mode="json"),
    }
    done = _alone([sys.executable, "-m", "core.engine.prune.shards_process"], json.dumps(request), settings)
    if done.returncode != 0:
        if done.returncode == -signal.SIGKILL:
            raise RetortError(
                "The pruning process was killed, most likely for want of memory.",
                "Close other programs, or calibrate with fewer sequences.",
            )
        raise RetortError(
            f"The pruning process ended before it was done (exit status {done.returncode}).",
            "What it wrote above says why.",
        )
    answer = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise RetortError(**answer["error"])
    hand_on(chosen.out)
    if chosen.json:
        put_json({"folder": request["target"], **answer})
        return 0
    facts = answer["facts"]
    put(f"The model is in {chosen.out}: {percent(facts['sparsity_pruned'], 1)} of its matrices' weights are zero.")
    put("Its files are as large as before: zeros in ordinary tensors save neither space nor time.")
    for note in answer["notes"]:
        put(note)
    return 0


def _alone(command: list[str], request: str, settings: Settings) -> subprocess.CompletedProcess[str]:
    """Runs a program that computes, once no run does: it would disturb that run's figures."""
    with plain_errors(settings.home):
        lock = take_device(settings, LOCAL, "prune")
        if lock is None:
            waits = device_user(Store(settings)) or "Waits for a run."
            say(f"{waits} Pruning begins when it has ended.")
        while lock is None:
            time.sleep(0.5)
            lock = take_device(settings, LOCAL, "prune")
    try:
        return subprocess.run(
            command, input=request, stdout=subprocess.PIPE, text=True, check=False, pass_fds=(lock.descriptor,)
        )
    finally:
        lock.release()


def register(one: argparse.ArgumentParser) -> None:
    """The options of `prune`."""
    one.add_argument("model", help="a model reference: sample:NAME, path:/folder, hub:org/name@revision or run:ID")
    methods = [m.id for m in METHODS.values() if not m.structured]
    one.add_argument("--method", choices=methods, default="wanda", help="default: wanda")
    one.add_argument("--sparsity", type=float, metavar="SHARE", help="share of the weights to zero, such as 0.5")
    one.add_argument("--pattern", default="unstructured", metavar="N:M", help="instead of a share, such as 2:4")
    one.add_argument("--mode", choices=["joint", "sequential"], default="sequential", help="default: sequential")
    one.add_argument("--sequences", type=int, default=32, help="calibration windows (default: 32)")
    one.add_argument("--length", type=int, default=512, help="tokens in each (default: 512)")
    one.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the pruned model goes")
