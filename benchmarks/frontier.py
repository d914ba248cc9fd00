"""What healing and the methods made for it gain: loss before any training, and after equal minutes of recovery.

    python -m benchmarks.frontier [--kept 0.85 0.75 0.6] [--minutes 5 15] [--sequences 32] [--length 512]
    python -m benchmarks.frontier --kept 0.75 --minutes --rows healed-loss block-influence --tokens 2048

At each size (share of the block parameters that is kept) the dense model is pruned by every row from the same
calibration text, and judged on the same evaluation text. With `--minutes` each is then trained for so long by the
probabilities of the dense model, in an ordinary run of this home, and judged again. ReplaceMe (arXiv 2505.02819) and
SliceGPT (arXiv 2401.15024) are written here from the papers: the first chooses a row of layers by the cosine distance
of hidden states and folds a least-squares map into the projection before it; the second rotates what the layers read
to its principal components and drops the last ones (one rotation a layer). SliceGPT's result loads with no plain
class, so it is judged by projecting the hidden states, and is neither timed nor trained.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.references import resolve
from core.engine.data.inputs import prepare
from core.engine.distil.student import spread
from core.engine.measure.devices import device_facts
from core.engine.measure.latency import latency
from core.engine.models.architectures import adapter_for
from core.engine.models.load import Loaded, load_model
from core.engine.models.matrices import find_blocks
from core.engine.models.save import save_model
from core.engine.prune.stream import BlockStream
from core.engine.prune.structured import prune_structure
from core.engine.prune.surgery import Keep, cut
from core.jobs.actions import submit, wait
from core.recipe.recipe import Latency, Prune, Recipe, Target

_METHODS = {
    "healed-loss": ("healed_loss", True),
    "evolved": ("evolved", True),
    "searched": ("searched", True),
    "obs": ("width_obs", True),
    "activations-healed": ("width_activations", True),
    "block-influence-healed": ("block_influence", True),
    "block-influence": ("block_influence", False),
    "angular": ("angular", False),
    "flap": ("width_flap", False),
    "activations": ("width_activations", False),
}


@dataclass
class Bench:
    """The dense model, its texts, and what is asked."""

    loaded: Loaded
    calibration: Tensor
    evaluation: Tensor
    dense: float = 0.0

    def loss(self, model: PreTrainedModel) -> float:
        """Mean loss a token, in nats."""
        total = 0.0
        with torch.inference_mode():
            for part in self.evaluation.split(2):
                logits = model(part, use_cache=False).logits[:, :-1].float()
                mean = torch.nn.functional.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten())
                total += float(mean) * len(part)
        return total / len(self.evaluation)


def main() -> None:
    """Prints a table a size; rows are printed as they are done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rows = [*_METHODS, "uniform", "replace-me", "slice-gpt"]
    parser.add_argument("--model", default="sample:smollm2-135m")
    parser.add_argument("--kept", nargs="+", type=float, default=[0.85, 0.75, 0.6])
    parser.add_argument("--minutes", nargs="*", type=float, default=[5.0, 15.0], help="none: no recovery")
    parser.add_argument("--rows", nargs="+", default=rows, choices=rows, metavar="ROW", help=f"of {', '.join(rows)}")
    parser.add_argument("--sequences", type=int, default=32)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=8192, help="of evaluation text")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    args = parser.parse_args()
    settings, facts = Settings.load(), device_facts()
    bench = _bench(args, settings)
    dtype = str(bench.loaded.dtype).removeprefix("torch.")
    print(f"{args.model}, {dtype}, on {facts['cpu']}, {facts['threads']} threads;")
    print(f"{bench.calibration.numel():,} calibration and {bench.evaluation.numel():,} evaluation tokens;", end=" ")
    print(f"dense loss {bench.dense:.3f}; increases in nats")
    head = f"{'row':24} {'kept':>6} {'before':>8} {'seconds':>8} {'tok/s':>7} {'ms/tok':>7}"
    for kept in args.kept:
        print(head + "".join(f" {f'{m:g} min':>8}" for m in args.minutes))
        for row in args.rows:
            _row(bench, row, kept, args, settings)


def _bench(args: argparse.Namespace, settings: Settings) -> Bench:
    loaded = load_model(resolve(args.model, settings, LOCAL).folder, args.dtype)
    recipe = Recipe.model_validate(
        {
            "model": args.model,
            "calibration": {"sequences": args.sequences, "length": args.length},
            "evaluation": {"tokens": args.tokens, "window": min(512, args.tokens)},
            "steps": [{"step": "evaluate"}],
        }
    )
    texts = prepare(recipe, loaded.tokenizer, loaded.task, None, settings, LOCAL, InMemoryReporter(), True)
    assert texts.calibration is not None
    bench = Bench(loaded, texts.calibration, texts.evaluation)
    bench.dense = bench.loss(loaded.model)
    return bench


def _row(bench: Bench, row: str, kept: float, args: argparse.Namespace, settings: Settings) -> None:
    started = time.perf_counter()
    if row == "slice-gpt":
        with ExitStack() as hooks:
            share = slice_gpt(bench, kept, hooks)
            loss, seconds = bench.loss(bench.loaded.model) - bench.dense, time.perf_counter() - started
        print(f"{row:24} {share:6.3f} {loss:8.3f} {seconds:8.0f}", flush=True)
        return
    made = _made(bench, row, kept)
    seconds, before = time.perf_counter() - started, bench.loss(made) - bench.dense
    spec = Latency(prompt=64, new_tokens=8)
    times = {m.metric: m.value for m in latency({"made": made}, spec, InMemoryReporter())["made"]}
    share = _blocks(made) / _blocks(bench.loaded.model)
    print(f"{row:24} {share:6.3f} {before:8.3f} {seconds:8.0f} {64e3 / times['prefill_ms']:7.0f}", end="")
    print(f" {times['decode_ms']:7.1f}", end="", flush=True)
    models = settings.home / "models"
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models) as folder:
        path = Path(folder) / "made"
        if args.minutes:
            save_model(made, bench.loaded.tokenizer, path, {"Name": row})
        for minutes in args.minutes:
            trained = _recovered(path, minutes, args, settings)
            print(f" {bench.loss(trained) - bench.dense:8.3f}", end="", flush=True)
    print(flush=True)


def _made(bench: Bench, row: str, kept: float) -> PreTrainedModel:
    if row == "uniform":
        return uniform(bench, kept)
    if row == "replace-me":
        return replace_me(bench, kept)
    method, healed = _METHODS[row]
    prune = Prune(method=method, target=Target(block_fraction=1 - kept), heal="closed-form" if healed else "none")
    return prune_structure(bench.loaded, prune, None, bench.calibration, InMemoryReporter())[0]


def _blocks(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in find_blocks(model)[1].parameters())


def uniform(bench: Bench, kept: float) -> PreTrainedModel:
    """Layers left out at even distances, the first and the last kept."""
    architecture = adapter_for(bench.loaded.model)
    with torch.no_grad():
        return cut(bench.loaded.model, architecture, Keep(spread(int(architecture.layers * kept), architecture.layers)))


@torch.no_grad()
def replace_me(bench: Bench, kept: float) -> PreTrainedModel:
    """ReplaceMe, least squares: T = (M^T M)^-1 M^T (L + M - Y), L the state after the row, Y the one before it."""
    model, architecture = bench.loaded.model, adapter_for(bench.loaded.model)
    count = architecture.layers - int(architecture.layers * kept)
    site = architecture.family.neuron_site
    assert site is not None
    states: list[Tensor] = []  # before each layer and after the last, (tokens, hidden)
    written: list[Tensor] = []  # by each layer's MLP
    blocks = architecture.blocks(model)
    with ExitStack() as hooks:
        for block in blocks:
            handle = block.register_forward_pre_hook(lambda m, args: states.append(args[0].flatten(0, 1).float()))
            hooks.callback(handle.remove)
            module = block.get_submodule(site)
            handle = module.register_forward_hook(lambda m, args, out: written.append(out.flatten(0, 1).float()))
            hooks.callback(handle.remove)
        handle = blocks[-1].register_forward_hook(lambda m, args, out: states.append(_first(out).flatten(0, 1).float()))
        hooks.callback(handle.remove)
        model.base_model(bench.calibration, use_cache=False)
    starts = range(1, architecture.layers - count + 1)
    cosine = torch.nn.functional.cosine_similarity
    start = max(starts, key=lambda s: float(cosine(states[s], states[s + count], dim=1).mean()))
    m, lacking = written[start - 1].double(), (states[start + count] - states[start]).double()
    change = torch.linalg.lstsq(m, m + lacking).solution  # (hidden, hidden)
    smaller = cut(model, architecture, Keep([i for i in range(architecture.layers) if not start <= i < start + count]))
    weight = adapter_for(smaller).blocks(smaller)[start - 1].get_submodule(site).weight
    assert isinstance(weight, Tensor)
    weight.copy_(change.T @ weight.double())
    return smaller


@torch.no_grad()
def slice_gpt(bench: Bench, kept: float, hooks: ExitStack) -> float:
    """SliceGPT with one rotation a layer, as hooks that keep what it reads and writes to its principal components.

    Cut to k of d channels, its matrices have k/d of the size, and a k x k map stands beside each layer.

    Returns:
        The share of the block parameters that is left.
    """
    model, architecture = bench.loaded.model, adapter_for(bench.loaded.model)
    width, whole = architecture.sizes["hidden"], _blocks(bench.loaded.model)
    share = {k: (whole * k / width + architecture.layers * k * k) / whole for k in range(8, width, 8)}
    k = max((k for k in share if share[k] <= kept), default=8)
    stream = BlockStream(model, bench.calibration)
    sites = [s for s in (architecture.family.head_site, architecture.family.neuron_site) if s is not None]
    for index, block in enumerate(architecture.blocks(model)):
        x = torch.cat([h.flatten(0, 1) for h in stream.hidden]).double()  # (tokens, hidden)
        x = x * x.square().mean(1, keepdim=True).rsqrt()
        basis = torch.linalg.eigh(x.T @ x).eigenvectors[:, -k:]
        onto = (basis @ basis.T).to(stream.hidden[0].dtype)  # (hidden, hidden)
        handles = [block.register_forward_pre_hook(lambda m, args, p=onto: (args[0] @ p, *args[1:]))]
        handles += [block.get_submodule(s).register_forward_hook(lambda m, args, out, p=onto: out @ p) for s in sites]
        for handle in handles:
            hooks.callback(handle.remove)
        stream.advance(index)
    return share[k]


def _recovered(path: Path, minutes: float, args: argparse.Namespace, settings: Settings) -> PreTrainedModel:
    """The model after so long by the dense model's probabilities, in a run of this home."""
    recipe = Recipe.model_validate(
        {
            "name": f"Frontier, {minutes:g} minutes",
            "model": f"path:{path}",
            "evaluation": {"tokens": 1024, "window": 256},
            "latency": None,
            "steps": [
                {
                    "step": "distil",
                    "teacher": args.model,
                    "losses": [{"loss": "logit_kl"}],
                    "data": {"length": 256},
                    "batch": 4,
                    "budget": {"minutes": minutes},
                    "evaluate_every": 1_000_000,
                    "checkpoint_every": 1_000_000,
                },
            ],
        }
    )
    run = wait(submit(recipe, settings, LOCAL), settings)
    if run.state != "done":
        sys.exit(f"{run.cause} {run.remedy}")
    trained = resolve(f"run:{run.id}", settings, LOCAL)
    return load_model(trained.folder, args.dtype).model


def _first(out: Any) -> Tensor:
    first: Tensor = out[0] if isinstance(out, tuple) else out
    return first


if __name__ == "__main__":
    main()
