"""A whole sweep of a random Llama of a billion parameters, and the most memory all its processes hold together.

    python -m benchmarks.large [--methods magnitude wanda sparsegpt] [--layers 4] [--sequences 4] [--length 128]

Calibration, pruning, saving, the reload in a fresh process and evaluation, as any sweep of a data folder does them;
the model's text means nothing, its size does. Memory is the proportional set size of the runner, the worker and its
children, summed ten times a second (pages they share count once, pages of mapped files count). Linux only.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
from transformers import AutoTokenizer

from benchmarks.random_llama import random_llama
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.references import resolve
from core.engine.measure.devices import device_facts
from core.jobs.actions import submit, wait
from core.recipe.recipe import Recipe
from core.store import Store


def main() -> None:
    """Makes the model, runs the sweep, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["magnitude", "wanda", "sparsegpt"])
    parser.add_argument("--layers", type=int, default=4, help="whole layers removed in one more trial; 0: none")
    parser.add_argument("--sequences", type=int, default=4)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=1024)
    args = parser.parse_args()
    usual = Settings.load()
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings.load(scratch)
        tokenizer = AutoTokenizer.from_pretrained(resolve("sample:smollm2-135m", usual, LOCAL).folder)
        folder = random_llama(settings.home / "models" / "random-llama", tokenizer, len(tokenizer))
        (settings.home / "samples").symlink_to(usual.samples)
        grid: list[dict[str, object]] = [{"method": args.methods, "sparsity": [0.5]}]
        if args.layers:
            grid.append({"method": ["block_influence"], "target": [{"remove_layers": args.layers}]})
        recipe = Recipe.model_validate(
            {
                "name": "A billion parameters",
                "model": f"path:{folder}",
                "latency": None,
                "calibration": {"sequences": args.sequences, "length": args.length},
                "evaluation": {"tokens": args.tokens, "window": 256, "batch": 1},
                "sweep": {"grid": grid},
            }
        )
        size = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
        memory, started = Memory(settings.home), time.perf_counter()
        run = wait(submit(recipe, settings, LOCAL), settings)
        seconds, peak = time.perf_counter() - started, memory.stop()
        facts = device_facts()
        print(f"a random Llama, {size / 1e9:.2f} GB of weights, on {facts['cpu']}, {facts['threads']} threads")
        print(f"{run.state}: {run.trials_done} of {run.trials_total} trials in {seconds:.0f} s {run.cause or ''}")
        for result in Store(settings).candidates.results(run_id=run.id):
            shown = {m.metric: m.value for m in result.measurements}
            print(f"{result.label:48} perplexity {shown['perplexity']:12.1f}, disk {shown['disk_bytes'] / 1e9:.2f} GB")
        print(f"most memory of all processes together: {peak / 1e9:.2f} GB, {peak / size:.2f} times the weights")


class Memory(threading.Thread):
    """The most bytes that the processes working on a data folder have held together since."""

    def __init__(self, home: Path) -> None:
        super().__init__(daemon=True)
        self._home, self._peak, self._over = str(home), 0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.1):
            self._peak = max(self._peak, sum(map(_proportional, self._processes())))

    def stop(self) -> int:
        self._over.set()
        self.join()
        return self._peak

    def _processes(self) -> set[int]:
        found = set()
        for process in psutil.process_iter(["cmdline"]):
            if self._home in (process.info["cmdline"] or []):
                found.add(process.pid)
                with suppress(psutil.Error):
                    found |= {child.pid for child in process.children(recursive=True)}
        return found


def _proportional(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
