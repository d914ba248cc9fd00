"""Retort's own scorer against lm-evaluation-harness, item by item, and the time each takes.

    python -m benchmarks.tasks [--model sample:smollm2-135m] [--items 100] [--tasks piqa copa ...] [--tiny]

Needs lm-eval (requirements-tasks.txt) and the sample evaluation sets (`python -m core fetch tasks`). `--tiny` takes a
random model of two small layers with the tokenizer of `--model`, so that every item of whole sets can be compared
(`--items 0`): wording, tokens and ties are what may differ, and they do not depend on the model's size.
"""

from __future__ import annotations

import argparse
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.references import resolve
from core.engine.evaluate.choice import choice_measurements
from core.engine.evaluate.harness import harness_measurements
from core.engine.evaluate.tasks.items import load_items
from core.engine.measure.devices import device_facts
from core.engine.models.load import load_model
from core.registry.measurement import Measurement
from core.registry.tasks import TASK_SETS


def main() -> None:
    """Scores every task both ways and prints how many items agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sample:smollm2-135m")
    parser.add_argument("--items", type=int, default=100, help="of each task; 0: all")
    parser.add_argument("--tasks", nargs="+", default=list(TASK_SETS), choices=list(TASK_SETS))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    settings, facts = Settings.load(), device_facts()
    loaded = load_model(resolve(args.model, settings, LOCAL).folder, "float32")
    model = _tiny(len(loaded.tokenizer)) if args.tiny else loaded.model
    sets, limit = settings.samples / "tasks", args.items or None
    print(f"{'a tiny random model' if args.tiny else args.model} on {facts['cpu']}, {facts['threads']} threads")
    print(
        f"{'task':16} {'items':>7} {'acc':>7} {'agree':>12} {'acc_norm':>9} {'agree':>12} {'time, lm-eval / own':>22}"
    )
    for name in args.tasks:
        started = time.perf_counter()
        items = load_items(TASK_SETS[name], sets, limit)
        own = choice_measurements(model, loaded.tokenizer, TASK_SETS[name], items, args.batch, InMemoryReporter())
        middle = time.perf_counter()
        theirs = harness_measurements(model, loaded.tokenizer, [name], limit, args.batch, InMemoryReporter(), sets)
        over = time.perf_counter()
        shown = "  ".join(f"{m.value:7.3f} {_agree(m, theirs):>12}" for m in own)
        print(f"{name:16} {len(items):7,} {shown} {(over - middle) / (middle - started):21.2f}x", flush=True)


def _agree(own: Measurement, theirs: list[Measurement]) -> str:
    """'100 of 100', or '' where the harness does not give this figure."""
    other = next((m for m in theirs if m.metric == own.metric), None)
    if other is None or own.samples is None or other.samples is None:
        return "-"
    same = sum(a == b for a, b in zip(own.samples, other.samples, strict=True))
    return f"{same:,} of {len(own.samples):,}"


def _tiny(vocabulary: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    model: LlamaForCausalLM = LlamaForCausalLM(config).eval()
    return model


if __name__ == "__main__":
    main()
