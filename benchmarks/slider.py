"""How long a drag of the slider takes to be answered, against doing the same by hand.

    python -m benchmarks.slider [--model sample:smollm2-135m] [--drags 40] [--by-hand 3]

Goes through the real client and the real preview server, as the page does, after one warm-up of every method. Prints
the 50th and 95th percentile of the time to the figures and to the whole text. By hand, for every drag: load the
model with transformers, zero the smallest weights of every matrix with torch, evaluate the same number of
tokens, generate the same number of tokens. The server is released first, so the two never run side by side.
"""

from __future__ import annotations

import argparse
import random
import time
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.references import resolve
from core.engine.live.warm import PROBE_LENGTH, PROBE_WINDOWS
from core.engine.measure.devices import device_facts
from core.engine.models.load import compute_dtype
from core.jobs.preview import client

PROMPT = "The history of the lighthouse begins in"
TOKENS = 16


def main() -> None:
    """Times both ways and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sample:smollm2-135m")
    parser.add_argument("--drags", type=int, default=40)
    parser.add_argument("--by-hand", type=int, default=3)
    args = parser.parse_args()
    settings, chooser = Settings.load(), random.Random(0)
    client.release(settings, LOCAL)
    cold = _drag(settings, args.model, {"method": "wanda", "sparsity": 0.5})
    kinds = ("magnitude", "wanda", "block_influence", "width_activations")
    for kind in kinds:
        _drag(settings, args.model, _amount(kind, chooser))
    found = {k: [_drag(settings, args.model, _amount(k, chooser)) for _ in range(args.drags // 4)] for k in kinds}
    client.release(settings, LOCAL)
    by_hand = float(np.median([_by_hand(settings, args.model) for _ in range(args.by_hand)]))
    print(f"\n{args.model} on {device_facts()['cpu']}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"start of the preview server to the first whole answer: {cold[1]:.1f} s")
    print(f"{'seconds':20} {'figures p50':>12} {'p95':>7} {'with text p50':>14} {'p95':>7}")
    everything = [t for times in found.values() for t in times]
    for name, times in (*found.items(), ("all", everything)):
        first, whole = np.array(times).T
        print(f"{name:20} {_p(first, 50):12.2f} {_p(first, 95):7.2f} {_p(whole, 50):14.2f} {_p(whole, 95):7.2f}")
    ratio = by_hand / _p(np.array(everything)[:, 1], 50)
    print(f"by hand (magnitude, load to text): {by_hand:.2f} s, {ratio:.1f}x the slider's median")


def _p(values: Any, percentile: int) -> float:
    return float(np.percentile(values, percentile))


def _amount(method: str, chooser: random.Random) -> dict[str, Any]:
    if method == "block_influence":
        return {"method": method, "target": {"remove_layers": chooser.randint(1, 12)}}
    if method == "width_activations":
        return {"method": method, "target": {"block_fraction": chooser.randint(5, 40) / 100}}
    return {"method": method, "sparsity": chooser.randint(10, 80) / 100}


def _drag(settings: Settings, model: str, prune: dict[str, Any]) -> tuple[float, float]:
    """Seconds to the figures and to the end."""
    request = {"model": model, "prune": prune, "prompt": PROMPT, "tokens": TOKENS}
    started, first = time.perf_counter(), 0.0
    for event in client.ask(settings, LOCAL, "preview", request, session="benchmark"):
        if "figures" in event:
            first = time.perf_counter() - started
    return first, time.perf_counter() - started


@torch.inference_mode()
def _by_hand(settings: Settings, reference: str) -> float:
    """Seconds for one point, as a script would do it."""
    folder = resolve(reference, settings, None).folder
    started = time.perf_counter()
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=compute_dtype())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "layers" in name:
            size = module.weight.abs().float().flatten()
            threshold = size.kthvalue(size.numel() // 2).values
            module.weight.masked_fill_((size <= threshold).view_as(module.weight), 0)
    ids = torch.arange(PROBE_WINDOWS * PROBE_LENGTH).view(PROBE_WINDOWS, PROBE_LENGTH)
    model(input_ids=ids, labels=ids)
    prompt = tokenizer(PROMPT, return_tensors="pt")
    model.generate(**prompt, max_new_tokens=TOKENS, do_sample=False)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
