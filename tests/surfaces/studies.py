"""Studies in one home whose figures cannot be mistaken for each other's, written through the store.

`small`: a model of 135 million parameters. Its best candidate is neither the first nor the last, one is estimated in
part, one is not kept on disk, one trial failed. `follow`: a later sweep of the same model, which shares the dense
baseline and one candidate with `small`. `large`: another model, ten times the size, timed beside other work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.analysis.paired_times import TIMES
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.recipe.recipe import Prune, Recipe
from core.recipe.results import Result, Trial
from core.registry.measurement import Measurement
from core.registry.metrics import METRICS, metric
from core.store import Store

SMALL, LARGE = "sample:smollm2-135m", "hub:org/large@0123456789abcdef"
Value = float | tuple[float, float, float]
"""A figure, perhaps with the bounds of its error."""


def key(name: str) -> str:
    """A key of 24 hexadecimal digits whose beginning is `name`."""
    return f"{name.encode().hex():0<24}"[:24]


@dataclass(frozen=True)
class Candidate:
    """One trial and what was measured of it; without figures the trial failed."""

    name: str
    prune: Prune | None
    figures: dict[str, Value]
    saved: bool = True
    estimated: tuple[str, ...] = ()
    contended: bool = False
    slow: float = 1.0
    """How many times as long everything took at the moment it was timed."""
    paired: tuple[float, int, int] | None = None
    """Of the accuracy: McNemar's p, items only the baseline has right, items only the candidate has right."""
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return self.prune.label() if self.prune else "Dense baseline"


def layers(count: int) -> Prune:
    return Prune.model_validate({"method": "block_influence", "target": {"remove_layers": count}})


DENSE_SMALL = Candidate(
    "aa0",
    None,
    {
        "perplexity": (29.22, 27.01, 31.61),
        "accuracy:piqa": (0.684, 0.651, 0.715),
        "parameters": 134_515_008,
        "nonzero_parameters": 134_515_000,
        "sparsity_model": 0.0,
        "sparsity_pruned": 0.0,
        "disk_bytes": 269_060_552,
        "memory_bytes": 269_030_016,
        "peak_memory_bytes": 812_345_678,
        "kv_bytes_per_token": 23_040,
        "prefill_ms": (128.0, 124.0, 141.0),
        "decode_ms": (33.8, 32.6, 36.9),
    },
)
MAGNITUDE = Candidate(
    "aa1",
    Prune(method="magnitude", sparsity=0.5),
    {
        "perplexity": (612.4, 560.2, 671.3),
        "loss_change": (3.0426, 2.981, 3.104),
        "kl_to_teacher": (2.914, 2.871, 2.957),
        "top1_agreement": (31.25, 29.9, 32.6),
        "accuracy:piqa": (0.531, 0.493, 0.569),
        "parameters": 134_515_008,
        "nonzero_parameters": 81_436_000,
        "sparsity_model": 39.46,
        "sparsity_pruned": 50.0,
        "disk_bytes": 269_060_552,
        "memory_bytes": 269_030_016,
        "peak_memory_bytes": 815_000_000,
        "kv_bytes_per_token": 23_040,
        "prefill_ms": (127.5, 123.0, 140.0),
        "decode_ms": (33.9, 32.7, 37.0),
    },
    slow=2.0,
    paired=(2.1e-05, 91, 22),
)
WANDA_MUCH = Candidate(
    "aa2",
    Prune(method="wanda", sparsity=0.375),
    {
        "perplexity": (31.03, 28.71, 33.62),
        "loss_change": (0.0601, 0.0412, 0.0793),
        "kl_to_teacher": (0.0824, 0.0799, 0.0851),
        "top1_agreement": (84.4, 83.1, 85.6),
        "accuracy:piqa": (0.671, 0.637, 0.703),
        "parameters": 134_515_008,
        "nonzero_parameters": 94_705_000,
        "sparsity_model": 29.6,
        "sparsity_pruned": 37.5,
        "disk_bytes": 269_060_552,
        "memory_bytes": 269_030_016,
        "peak_memory_bytes": 813_000_000,
        "kv_bytes_per_token": 23_040,
        "prefill_ms": (128.4, 124.2, 141.5),
        "decode_ms": (33.7, 32.5, 36.8),
    },
    saved=False,
    paired=(0.34, 14, 9),
)
WANDA_LITTLE = Candidate(
    "aa3",
    Prune(method="wanda", sparsity=0.2),
    {
        "perplexity": (29.29, 27.08, 31.69),
        "loss_change": (0.0024, -0.0041, 0.0089),
        "kl_to_teacher": (0.0113, 0.0108, 0.0118),
        "top1_agreement": (94.1, 93.2, 94.9),
        "accuracy:piqa": (0.682, 0.649, 0.713),
        "parameters": 134_515_008,
        "nonzero_parameters": 113_284_000,
        "sparsity_model": 15.78,
        "sparsity_pruned": 20.0,
        "disk_bytes": 269_060_552,
        "memory_bytes": 269_030_016,
        "peak_memory_bytes": 814_000_000,
        "kv_bytes_per_token": 23_040,
        "prefill_ms": (127.9, 123.8, 140.9),
        "decode_ms": (33.8, 32.6, 36.8),
    },
    paired=(0.82, 6, 5),
)
SHORTER = Candidate(
    "aa4",
    layers(4),
    {
        "perplexity": (58.26, 53.8, 63.1),
        "loss_change": (0.69, 0.641, 0.739),
        "kl_to_teacher": (0.734, 0.715, 0.754),
        "top1_agreement": (61.7, 60.2, 63.1),
        "accuracy:piqa": (0.603, 0.567, 0.638),
        "parameters": 120_355_200,
        "nonzero_parameters": 120_355_200,
        "sparsity_model": 0.0,
        "sparsity_pruned": 0.0,
        "disk_bytes": 240_740_096,
        "memory_bytes": 240_710_400,
        "peak_memory_bytes": 731_000_000,
        "kv_bytes_per_token": 19_968,
        "prefill_ms": (112.9, 109.4, 124.6),
        "decode_ms": (29.9, 28.8, 32.5),
    },
    estimated=("peak_memory_bytes", "decode_ms"),
    paired=(0.00062, 70, 31),
    notes=("Layers 11, 12, 14 and 20 were removed.",),
)
FAILED = Candidate("aa5", Prune(method="sparsegpt", sparsity=0.5), {})
SHORT_MORE = Candidate(
    "aa6",
    layers(6),
    {
        "perplexity": (89.4, 82.1, 97.5),
        "loss_change": (1.118, 1.062, 1.174),
        "accuracy:piqa": (0.571, 0.535, 0.607),
        "parameters": 113_275_296,
        "nonzero_parameters": 113_275_296,
        "sparsity_model": 0.0,
        "sparsity_pruned": 0.0,
        "disk_bytes": 226_579_800,
        "memory_bytes": 226_550_592,
        "peak_memory_bytes": 690_000_000,
        "kv_bytes_per_token": 18_432,
        "prefill_ms": (105.3, 102.0, 116.2),
        "decode_ms": (27.9, 26.9, 30.4),
    },
    paired=(0.000008, 99, 42),
)
DENSE_LARGE = Candidate(
    "bb0",
    None,
    {
        "perplexity": (11.07, 10.41, 11.78),
        "accuracy:piqa": (0.745, 0.714, 0.774),
        "parameters": 1_235_814_400,
        "nonzero_parameters": 1_235_814_400,
        "sparsity_model": 0.0,
        "sparsity_pruned": 0.0,
        "disk_bytes": 2_471_645_608,
        "memory_bytes": 2_471_628_800,
        "peak_memory_bytes": 3_301_000_000,
        "kv_bytes_per_token": 32_768,
        "prefill_ms": (902.0, 880.0, 961.0),
        "decode_ms": (211.0, 205.0, 226.0),
    },
)
LARGE_SHORTER = Candidate(
    "bb1",
    layers(3),
    {
        "perplexity": (16.91, 15.88, 18.03),
        "loss_change": (0.4237, 0.402, 0.4454),
        "accuracy:piqa": (0.702, 0.669, 0.733),
        "parameters": 1_053_366_016,
        "nonzero_parameters": 1_053_366_016,
        "sparsity_model": 0.0,
        "sparsity_pruned": 0.0,
        "disk_bytes": 2_106_745_304,
        "memory_bytes": 2_106_732_032,
        "peak_memory_bytes": 2_911_000_000,
        "kv_bytes_per_token": 26_624,
        "prefill_ms": (771.0, 752.0, 830.0),
        "decode_ms": (180.0, 174.0, 199.0),
    },
    contended=True,
    paired=(0.0031, 58, 29),
)
LARGE_WANDA = Candidate(
    "bb2",
    Prune(method="wanda", pattern="2:4"),
    {
        "perplexity": (14.62, 13.71, 15.6),
        "loss_change": (0.2782, 0.262, 0.2944),
        "accuracy:piqa": (0.724, 0.692, 0.754),
        "parameters": 1_235_814_400,
        "nonzero_parameters": 749_272_000,
        "sparsity_model": 39.37,
        "sparsity_pruned": 50.0,
        "disk_bytes": 2_471_645_608,
        "memory_bytes": 2_471_628_800,
        "peak_memory_bytes": 3_310_000_000,
        "kv_bytes_per_token": 32_768,
        "prefill_ms": (905.0, 884.0, 966.0),
        "decode_ms": (212.0, 206.0, 228.0),
    },
    paired=(0.041, 33, 17),
)

STUDIES: dict[str, tuple[str, str, tuple[Candidate, ...]]] = {
    "small": ("Fit the phone", SMALL, (DENSE_SMALL, MAGNITUDE, WANDA_MUCH, WANDA_LITTLE, SHORTER, FAILED)),
    "follow": ("Six layers", SMALL, (DENSE_SMALL, SHORT_MORE, WANDA_MUCH)),
    "large": ("Fit the server", LARGE, (DENSE_LARGE, LARGE_SHORTER, LARGE_WANDA)),
}
BY_NAME = {c.name: c for _, _, found in STUDIES.values() for c in found}
WHY = "The Hessian of layer 7 could not be inverted."


def recipe(study: str) -> Recipe:
    name, model, _ = STUDIES[study]
    grid = [{"method": ["wanda"], "sparsity": [0.2]}]
    return Recipe.model_validate(
        {"name": name, "model": model, "sweep": {"grid": grid}, "evaluation": {"tasks": ["piqa"]}}
    )


def result(candidate: Candidate, study: str) -> Result:
    """What the store keeps of a candidate."""
    name, model, found = STUDIES[study]
    dense = found[0].figures
    return Result(
        key=key(candidate.name),
        label=candidate.label,
        model=model,
        method=candidate.prune.method if candidate.prune else "dense",
        prune=candidate.prune.model_dump(mode="json") if candidate.prune else None,
        baseline=candidate.prune is None,
        baseline_key=key(found[0].name),
        saved=candidate.saved,
        measurements=[_measured(m, v, candidate, dense.get(m)) for m, v in candidate.figures.items()],
        notes=list(candidate.notes),
        recipe=recipe(study).model_dump(mode="json"),
        versions={"torch": "2.13.0"},
        seconds=9.5,
    )


def _measured(metric_id: str, value: Value, of: Candidate, dense: Value | None) -> Measurement:
    settings: dict[str, Any] = {}
    if METRICS[metric_id].role == "quality":
        settings = {"corpus": "wiki", "window": 512}
    if metric_id.startswith("accuracy") and of.paired is not None:
        p, lost, won = of.paired
        settings["paired"] = {
            "test": "McNemar, exact, two-sided",
            "p": p,
            "only_baseline_right": lost,
            "only_candidate_right": won,
        }
    if of.contended and metric_id in ("prefill_ms", "decode_ms"):
        settings |= {"contended": True, "other_cpu_cores": 1.7}
    middle, low, high = value if isinstance(value, tuple) else (value, None, None)
    if metric_id in TIMES and of.prune is not None and isinstance(dense, tuple):  # taken in turns with the dense model
        ratio = middle / dense[0]
        names = ("baseline_value", "baseline_low", "baseline_high")
        settings |= dict(zip(names, (d * of.slow for d in dense), strict=True))
        settings |= {"ratio": ratio, "ratio_low": 0.99 * ratio, "ratio_high": 1.01 * ratio}
        middle, low, high = (None if b is None else b * of.slow for b in (middle, low, high))
    assert middle is not None
    return Measurement(
        metric=metric_id,
        value=middle,
        low=low,
        high=high,
        unit=metric(metric_id).unit,
        device="cpu",
        dtype="bfloat16",
        settings=settings,
        obtained="estimated" if metric_id in of.estimated else "measured",
    )


def write(settings: Settings, study: str) -> str:
    """The study as a run that has ended; returns its id."""
    store, of = Store(settings), recipe(study)
    name, model, candidates = STUDIES[study]
    run = store.runs.add(of.kind, name, model, of.model_dump(mode="json"), LOCAL)
    store.runs.claim(run)
    store.trials.add(
        run, [Trial(index=i, key=key(c.name), label=c.label, prune=c.prune) for i, c in enumerate(candidates)]
    )
    for i, c in enumerate(candidates):
        store.trials.start(run, i)
        if not c.figures:
            store.trials.fail(run, i, WHY, "Raise its damping.")
            continue
        if store.candidates.get(key(c.name)) is None:  # as the engine does: a finished trial is never repeated
            store.candidates.add(result(c, study))
        store.trials.finish(run, i)
    store.runs.progress(run, len(candidates), len(candidates), "")
    store.runs.finish(run, "done")
    return run
