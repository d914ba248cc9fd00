"""How much faster a sweep is than its points run one by one in the published way, in the same run.

    python -m benchmarks.sweep [--model sample:smollm2-135m] [--sequences 64] [--length 512] [--tokens 8192]

The published way, for every point: load the model, gather statistics block after block with each block
run again once it is pruned, prune, and measure perplexity with a plain forward that returns all logits.
The sweep: one calibration pass feeds all points. Both evaluate the same windows; nothing else is timed.
Prints a table, the ratio, and the share of this machine's arithmetic bound the sweep reached.
"""

from __future__ import annotations

import argparse
import math
import platform
import tempfile
import time
from pathlib import Path

import torch

from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.references import resolve
from core.engine.data.inputs import prepare
from core.engine.evaluate.perplexity import perplexity
from core.engine.measure.devices import device_facts
from core.engine.models.load import load_model
from core.engine.prune.apply import prune_weights, restore_dense
from core.engine.prune.sequential import prune_sequential
from core.engine.prune.statistics import collect, weight_observers
from core.engine.run.prune_step import needed
from core.recipe.recipe import Calibration, Evaluation, Grid, Prune, Recipe, Sweep

SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def main() -> None:
    """Times both ways and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sample:smollm2-135m")
    parser.add_argument("--methods", nargs="+", default=["wanda", "sparsegpt"])
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=8192)
    args = parser.parse_args()
    torch.set_num_threads(torch.get_num_threads())
    settings = Settings.load()
    recipe = Recipe(
        name="Benchmark",
        model=args.model,
        latency=None,
        calibration=Calibration(sequences=args.sequences, length=args.length),
        evaluation=Evaluation(tokens=args.tokens),
        sweep=Sweep(grid=(Grid(method=tuple(args.methods), sparsity=tuple(SPARSITIES)),)),
    )
    folder = resolve(args.model, settings, LOCAL).folder
    tokenizer = load_model(folder).tokenizer
    inputs = prepare(recipe, tokenizer, "causal", None, settings, LOCAL, InMemoryReporter(), calibrated=True)
    assert inputs.calibration is not None and recipe.sweep is not None
    prunes = recipe.sweep.trials()
    fast, fast_seconds, forwards = _sweep(folder, prunes, inputs.calibration, inputs.evaluation)
    slow, slow_seconds = _one_by_one(folder, prunes, inputs.calibration, inputs.evaluation)
    bound = _arithmetic_bound()
    parameters = sum(p.numel() for p in load_model(folder).model.parameters())
    facts = device_facts()
    print(f"\n{args.model} on {facts['cpu']}, {torch.get_num_threads()} threads, torch {torch.__version__},", end=" ")
    print(f"Python {platform.python_version()}; calibration {args.sequences} x {args.length}, evaluation {args.tokens}")
    print(f"{'point':34} {'sweep (joint)':>14} {'one by one (sequential)':>24}   perplexity")
    for prune, a, b in zip(prunes, fast, slow, strict=True):
        print(f"{prune.label():34} {a:14.3f} {b:24.3f}")
    print(f"{'seconds':34} {fast_seconds:14.1f} {slow_seconds:24.1f}")
    print(f"ratio for {len(prunes)} points: {slow_seconds / fast_seconds:.2f}x")
    reached = 2 * parameters * forwards / fast_seconds
    print(f"arithmetic: {reached / 1e9:.0f} of {bound / 1e9:.0f} GFLOP/s = {reached / bound:.0%} of the bound")


def _sweep(
    folder: Path, prunes: list[Prune], calibration: torch.Tensor, evaluation: torch.Tensor
) -> tuple[list[float], float, int]:
    """Perplexities, seconds, and tokens sent through the model, with one pass for all points."""
    started = time.perf_counter()
    loaded, reporter = load_model(folder), InMemoryReporter()
    with tempfile.TemporaryDirectory() as scratch:
        observers = weight_observers(loaded.model, needed(prunes), reporter)
        statistics = collect(loaded.model, calibration, observers, reporter, folder=Path(scratch))
        found = []
        for prune in prunes:
            prune_weights(loaded.model, prune, statistics, reporter)
            found.append(perplexity(loaded.model, evaluation, 4, reporter)[0].value)
            restore_dense(loaded.model, folder)
    seconds = time.perf_counter() - started
    return found, seconds, calibration.numel() + len(prunes) * evaluation.numel()


def _one_by_one(
    folder: Path, prunes: list[Prune], calibration: torch.Tensor, evaluation: torch.Tensor
) -> tuple[list[float], float]:
    """Perplexities and seconds, each point from nothing."""
    started, found = time.perf_counter(), []
    for prune in prunes:
        loaded = load_model(folder)
        prune_sequential(loaded.model, prune.model_copy(update={"mode": "sequential"}), calibration, InMemoryReporter())
        found.append(_plain_perplexity(loaded.model, evaluation))
    return found, time.perf_counter() - started


@torch.inference_mode()
def _plain_perplexity(model: torch.nn.Module, windows: torch.Tensor) -> float:
    total, count = 0.0, 0
    for ids in windows.split(4):
        logits = model(input_ids=ids).logits[:, :-1].float()  # (batch, window - 1, vocabulary)
        total += float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum"))
        count += ids[:, 1:].numel()
    return math.exp(total / count)


def _arithmetic_bound() -> float:
    """FLOP/s of a large matrix product in the dtype models are computed in here."""
    from core.engine.models.load import compute_dtype

    a, b = (torch.randn(2048, 2048).to(compute_dtype()) for _ in range(2))
    a @ b
    started = time.perf_counter()
    for _ in range(20):
        a @ b
    return 20 * 2 * 2048**3 / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
