"""What removing parts really gains: parameters kept against prefill and decode latency, blocks alone and whole model.

    python -m benchmarks.structured [--model sample:smollm2-135m] [--fractions 0.25 0.5] [--repeats 9]

Layers (block influence) and neurons, heads and channels (weight norm) are removed until the asked share of the
blocks' parameters is gone. Every model is timed in turns with the dense one; times of the blocks are taken
around each block's own forward. All figures are medians, and ratios are to the dense model in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.references import resolve
from core.engine.measure.devices import device_facts
from core.engine.models.load import load_model
from core.engine.models.matrices import find_blocks
from core.engine.prune.structured import prune_structure
from core.recipe.recipe import Prune, Target

PROMPT, NEW_TOKENS = 256, 8


def main() -> None:
    """Prunes, times and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sample:smollm2-135m")
    parser.add_argument("--fractions", nargs="+", type=float, default=[0.25, 0.5])
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    loaded = load_model(resolve(args.model, Settings.load(), LOCAL).folder)
    windows = torch.randint(0, 256, (4, 128), generator=torch.Generator().manual_seed(0))
    models: dict[str, Any] = {"dense": loaded.model}
    for fraction in args.fractions:
        for method in ("block_influence", "width_norm"):
            prune = Prune(method=method, target=Target(block_fraction=fraction))
            models[f"{method} -{fraction:.0%}"] = prune_structure(loaded, prune, None, windows, InMemoryReporter())[0]
    facts = device_facts()
    print(f"{args.model}, {str(loaded.dtype).removeprefix('torch.')}, on {facts['cpu']}, {facts['threads']} threads;")
    print(f"prompt {PROMPT}, {NEW_TOKENS} new tokens, {args.repeats} rounds in turns, ratios to dense")
    found = _time(models, args.repeats)
    dense, kept = found["dense"], _block_parameters(loaded.model)
    head = f"{'model':24} {'block parameters':>17} {'blocks, prefill':>16} {'blocks, decode':>15}"
    print(f"{head} {'model, prefill':>15} {'model, decode':>14}")
    for name, model in models.items():
        ratios = [found[name][k] / dense[k] for k in ("prefill_blocks", "decode_blocks", "prefill", "decode")]
        row = f"{name:24} {_block_parameters(model) / kept:17.2f} {ratios[0]:16.2f} {ratios[1]:15.2f}"
        print(f"{row} {ratios[2]:15.2f} {ratios[3]:14.2f}")
    print(f"dense: prefill {dense['prefill'] * 1e3:.0f} ms, decode {dense['decode'] * 1e3:.1f} ms a token")


def _block_parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for block in find_blocks(model) for p in block.parameters())


class _BlockClock:
    """Seconds spent inside the blocks of a model."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.seconds = self._since = 0.0
        for block in find_blocks(model):
            block.register_forward_pre_hook(self._enter)
            block.register_forward_hook(self._leave)

    def _enter(self, *_: Any) -> None:
        self._since = time.perf_counter()

    def _leave(self, *_: Any) -> None:
        self.seconds += time.perf_counter() - self._since


@torch.inference_mode()
def _time(models: dict[str, Any], repeats: int) -> dict[str, dict[str, float]]:
    clocks = {name: _BlockClock(model) for name, model in models.items()}
    times: dict[str, dict[str, list[float]]] = {name: {} for name in models}
    prompt = torch.randint(0, 256, (1, PROMPT), generator=torch.Generator().manual_seed(1))
    for turn in range(repeats + 1):
        for name, model in models.items():
            out: Any = None

            def prefill(model: Any = model) -> None:
                nonlocal out
                out = model(input_ids=prompt, use_cache=True, logits_to_keep=1)

            def decode(model: Any = model) -> None:
                nonlocal out
                for _ in range(NEW_TOKENS):
                    token = out.logits[:, -1:].argmax(-1)  # (1, 1)
                    out = model(input_ids=token, cache=out.cache, use_cache=True)

            for kind, work, per in (("prefill", prefill, 1), ("decode", decode, NEW_TOKENS)):
                whole, blocks = _clocked(work, clocks[name])
                if turn:  # the first round warms up
                    times[name].setdefault(kind, []).append(whole / per)
                    times[name].setdefault(f"{kind}_blocks", []).append(blocks / per)
    return {name: {k: statistics.median(v) for k, v in found.items()} for name, found in times.items()}


def _clocked(work: Callable[[], None], clock: _BlockClock) -> tuple[float, float]:
    before, started = clock.seconds, time.perf_counter()
    work()
    return time.perf_counter() - started, clock.seconds - before


if __name__ == "__main__":
    main()
