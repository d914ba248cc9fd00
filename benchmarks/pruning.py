"""Time and peak memory of each weight method, against its straightforward published procedure in the same run.

    python -m benchmarks.pruning [--model sample:smollm2-135m] [--sequences 32] [--length 512]
    python -m benchmarks.pruning --random-1b      # a random Llama of 1 billion parameters, made in a temporary folder

The published procedure, for each sparsity: load, gather statistics block after block with each block run again
once it is pruned (magnitude needs none), prune. Retort's joint mode: load once, one pass for all sparsities, prune,
put the dense weights back. Each way runs in a process of its own. Its memory is what it holds itself (anonymous
pages, looked at every 10 ms: pages of the model's files that are mapped while loading can be dropped at any time and
do not count); what the process held before the model was loaded is taken off, and the rest is set against the
model's bytes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.random_llama import random_llama
from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.references import resolve
from core.engine.measure.devices import device_facts
from core.engine.models.load import load_model
from core.engine.prune.apply import prune_weights, restore_dense
from core.engine.prune.sequential import prune_sequential
from core.engine.prune.statistics import collect, weight_observers
from core.engine.run.prune_step import needed
from core.recipe.recipe import Prune
from core.registry.methods import METHODS

SPARSITIES = (0.3, 0.5, 0.7)
CHOSEN = ("magnitude", "wanda", "sparsegpt")


def main() -> None:
    """Runs every method both ways and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sample:smollm2-135m")
    parser.add_argument("--methods", nargs="+", default=list(CHOSEN))
    parser.add_argument("--sequences", type=int, default=32)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--random-1b", action="store_true")
    parser.add_argument("--child", nargs=3, metavar=("WAY", "METHOD", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        way, method, place = args.child
        print(json.dumps(_child(way, method, place, args.sequences, args.length)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = _random_llama(Path(scratch)) if args.random_1b else resolve(args.model, Settings.load(), LOCAL).folder
        size = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
        facts = device_facts()
        name = "a random Llama" if args.random_1b else args.model
        print(f"{name}, {size / 1e6:,.0f} MB, on {facts['cpu']}, {facts['threads']} threads; calibration", end=" ")
        print(f"{args.sequences} x {args.length} random tokens; sparsities {', '.join(map(str, SPARSITIES))}")
        print(f"{'method':12} {'joint, s':>10} {'published, s':>13} {'ratio':>7} {'joint peak / model':>20}", end=" ")
        print(f"{'published peak / model':>24}")
        for method in args.methods:
            joint, published = (_measure(way, method, folder, args) for way in ("joint", "published"))
            ratio = published["seconds"] / joint["seconds"]
            peaks = [way["peak"] / size for way in (joint, published)]
            print(f"{method:12} {joint['seconds']:10.1f} {published['seconds']:13.1f} {ratio:6.1f}x", end=" ")
            print(f"{peaks[0]:20.2f} {peaks[1]:24.2f}")
            print(f"{'':12} whole process at its peak: {joint['whole'] / 1e9:.2f} GB joint", end="")
            print(f", {published['whole'] / 1e9:.2f} GB published")


def _measure(way: str, method: str, folder: Path, args: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.pruning", "--child", way, method, str(folder)]
    command += ["--sequences", str(args.sequences), "--length", str(args.length)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{way} {method} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _child(way: str, method: str, folder: str, sequences: int, length: int) -> dict[str, float]:
    """One way in this process: seconds, and bytes at the peak above what was held before the model."""
    torch.ones(8) @ torch.ones(8)  # thread pools count to the process, not to the model
    memory = _Memory()
    before = memory.now()
    prunes = [Prune(method=method, sparsity=s) for s in SPARSITIES]
    windows = torch.randint(0, 256, (sequences, length), generator=torch.Generator().manual_seed(0))
    started = time.perf_counter()
    (_joint if way == "joint" else _published)(Path(folder), prunes, windows)
    seconds = time.perf_counter() - started
    whole = memory.stop()
    return {"seconds": seconds, "peak": whole - before, "whole": whole}


def _joint(folder: Path, prunes: list[Prune], windows: torch.Tensor) -> None:
    loaded, reporter = load_model(folder), InMemoryReporter()
    with tempfile.TemporaryDirectory() as scratch:
        statistics: Any = None
        if needs := needed(prunes):
            observers = weight_observers(loaded.model, needs, reporter)
            statistics = collect(loaded.model, windows, observers, reporter, folder=Path(scratch))
        for prune in prunes:
            prune_weights(loaded.model, prune, statistics, reporter)
            restore_dense(loaded.model, folder)


def _published(folder: Path, prunes: list[Prune], windows: torch.Tensor) -> None:
    for prune in prunes:
        loaded = load_model(folder)
        if not METHODS[prune.method].calibrated:
            prune_weights(loaded.model, prune, None, InMemoryReporter())
            continue
        prune_sequential(loaded.model, prune.model_copy(update={"mode": "sequential"}), windows, InMemoryReporter())


def _random_llama(scratch: Path) -> Path:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    return random_llama(scratch / "random-llama", tokenizer, 32_000)


class _Memory(threading.Thread):
    """The largest number of anonymous bytes this process has held since."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._peak, self._over = self.now(), threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.01):
            self._peak = max(self._peak, self.now())

    def stop(self) -> int:
        self._over.set()
        self.join()
        return self._peak

    @staticmethod
    def now() -> int:
        """Anonymous resident bytes of this process. Linux only."""
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    main()
