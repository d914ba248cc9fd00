"""How much of the loss that pruning cost each kind of training regains in the same time.

    python -m benchmarks.recovery [--model sample:smollm2-135m] [--fraction 0.25] [--minutes 15]

A quarter of the blocks' parameters is removed (by default whole layers, by block influence). The same pruned model
is then trained in turn by each mix of losses for the same minutes, on the same text and schedule, by ordinary runs
of this home; plain cross-entropy is the row the others are to be compared with. 'Regained' is the share of the lost
loss per token (on the evaluation text, which no training sees) that came back.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.engine.measure.devices import device_facts
from core.jobs.actions import submit, wait
from core.recipe.recipe import Recipe
from core.recipe.results import Result
from core.store import Store

WAYS: dict[str, list[dict[str, Any]]] = {
    "cross-entropy (plain fine-tuning)": [{"loss": "cross_entropy"}],
    "logit KL": [{"loss": "logit_kl"}],
    "soft labels, T = 2": [{"loss": "soft_labels", "parameters": {"temperature": 2.0}}],
    "logit MSE": [{"loss": "logit_mse"}],
    "reverse KL": [{"loss": "reverse_kl"}],
    "hidden states + logit KL": [{"loss": "hidden_mse", "weight": 0.1}, {"loss": "logit_kl"}],
}


def main() -> None:
    """Runs every way and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sample:smollm2-135m")
    parser.add_argument("--method", default="block_influence")
    parser.add_argument("--fraction", type=float, default=0.25)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS), metavar="WAY")
    args = parser.parse_args()
    settings, facts = Settings.load(), device_facts()
    print(
        f"{args.model}, {args.fraction:.0%} of the block parameters removed by {args.method}, {args.minutes:g} minutes"
    )
    print(f"each, on {facts['cpu']}, {facts['threads']} threads; loss per token on 8,192 tokens of evaluation text")
    print(f"{'training':36} {'tokens':>9} {'steps':>6} {'dense':>7} {'pruned':>7} {'after':>7} {'regained':>9}")
    for name in args.ways:
        dense, pruned, after = _run(name, args, settings)
        lost, won = _loss(pruned) - _loss(dense), _loss(pruned) - _loss(after)
        row = f"{name:36} {after.facts['tokens']:9,} {after.facts['steps']:6} {_loss(dense):7.3f} {_loss(pruned):7.3f}"
        print(f"{row} {_loss(after):7.3f} {won / lost:9.0%}", flush=True)


def _run(name: str, args: argparse.Namespace, settings: Settings) -> tuple[Result, Result, Result]:
    losses = WAYS[name]
    plain = all(term["loss"] == "cross_entropy" for term in losses)
    recipe = Recipe.model_validate(
        {
            "name": f"Recovery by {name}",
            "model": args.model,
            "calibration": {"sequences": 32, "length": 256},
            "evaluation": {"tokens": 8192, "window": 512},
            "latency": None,
            "steps": [
                {"step": "prune", "method": args.method, "target": {"block_fraction": args.fraction}},
                {"step": "evaluate"},
                {
                    "step": "finetune" if plain else "distil",
                    "losses": losses,
                    "data": {"length": 256},
                    "batch": 4,
                    "budget": {"minutes": args.minutes},
                    "evaluate_every": 1_000_000,
                    "checkpoint_every": 1_000_000,
                },
                {"step": "evaluate"},
            ],
        }
    )
    run = wait(submit(recipe, settings, LOCAL), settings)
    if run.state != "done":
        sys.exit(f"{name}: {run.cause} {run.remedy}")
    dense, pruned, after = Store(settings).candidates.results(run_id=run.id)
    return dense, pruned, after


def _loss(result: Result) -> float:
    return next(m.value for m in result.measurements if m.metric == "loss")


if __name__ == "__main__":
    main()
