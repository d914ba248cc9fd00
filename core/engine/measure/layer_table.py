"""What one layer costs here at several widths, and the rest of the model: measured once, then added up.

A model of n equal layers takes rest + n * layer. Both follow from two depths of the same model; `rest` is
embeddings, final norm and head.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from transformers import PreTrainedModel

from core.base.integrity import damage, write_sealed
from core.base.progress import Reporter
from core.base.settings import Settings
from core.engine.measure.devices import cpu_name
from core.engine.measure.latency import latency
from core.engine.measure.patience import Patience
from core.engine.models.architectures import Architecture
from core.engine.prune.surgery import Keep, cut
from core.recipe.recipe import Latency
from core.registry.measurement import Measurement

_DEPTH = 6  # layers of the deeper of the two models


class LayerTable(BaseModel):
    """Milliseconds by MLP width; `widths` ascend, the last is the model's own."""

    model_config = ConfigDict(frozen=True)
    widths: list[int]
    layer: dict[str, list[float]]
    """`decode_ms` and `prefill_ms` of one layer at each width."""
    rest: dict[str, float]
    """The same of everything outside the layers."""
    settings: dict[str, Any]

    def time(self, metric: str, layers: int, neurons: int) -> float:
        """Milliseconds of a model with `layers` layers of `neurons` neurons, between widths by a straight line."""
        return self.rest[metric] + layers * float(np.interp(neurons, self.widths, self.layer[metric]))


def layer_table(
    model: PreTrainedModel,
    architecture: Architecture,
    widths: Sequence[int],
    spec: Latency,
    settings: Settings,
    reporter: Reporter,
) -> LayerTable:
    """The table of this model's shape on this machine: from the home, or measured now and kept there.

    One that was timed beside other work is measured again.

    Args:
        widths: MLP widths, ascending, the last the model's own.
    Raises:
        RetortError: prompt and new tokens do not fit the model's context.
    """
    identity = [
        model.config.to_dict(),
        str(model.dtype),
        spec.model_dump(mode="json"),
        list(widths),
        cpu_name(),
        model.device.type,
        torch.get_num_threads(),
        torch.__version__,
    ]
    key = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:24]
    path = settings.home / "latency-tables" / f"{key}.json"
    try:
        if damage(path) is not None:
            raise ValueError("it is damaged")
        known = LayerTable.model_validate_json(path.read_text("utf-8"))
        if not known.settings.get("contended"):
            return known
    except (OSError, ValueError):
        pass
    table = measure(model, architecture, widths, spec, reporter, Patience(settings.limits.quiet_seconds))
    write_sealed(path, table.model_dump_json())
    return table


def measure(
    model: PreTrainedModel,
    architecture: Architecture,
    widths: Sequence[int],
    spec: Latency,
    reporter: Reporter,
    patience: Patience | None = None,
) -> LayerTable:
    """Times cut-down copies of the model in turns: one of a single layer, and a deeper one at each width."""
    depth, full = min(architecture.layers, _DEPTH), widths[-1]
    shapes = {"1": (1, full), **{f"{depth} x {w}": (depth, w) for w in widths}}
    with torch.no_grad():
        models = {name: _cut(model, architecture, layers, w) for name, (layers, w) in shapes.items()}
    found = latency(models, spec.model_copy(update={"batch": 1}), reporter, patience=patience)
    times = {name: {m.metric: m for m in ms} for name, ms in found.items()}
    layer: dict[str, list[float]] = {}
    rest: dict[str, float] = {}
    for metric in ("decode_ms", "prefill_ms"):
        one = times["1"][metric].value
        deep = [times[f"{depth} x {w}"][metric].value for w in widths]
        rest[metric], layer[metric] = split(one, deep, depth)
    first: Measurement = times["1"]["decode_ms"]
    return LayerTable(widths=list(widths), layer=layer, rest=rest, settings={**first.settings, "depth": depth})


def split(one: float, deep: Sequence[float], depth: int) -> tuple[float, list[float]]:
    """From the time of one full-width layer with the rest, and of `depth` layers with the rest at each width
    (the last the full one): the rest, and a layer at each width."""
    if depth == 1:
        return 0.0, list(deep)
    whole = max(0.0, (deep[-1] - one) / (depth - 1))
    rest = max(0.0, one - whole)
    return rest, [max(0.0, (t - rest) / depth) for t in deep]


def _cut(model: PreTrainedModel, architecture: Architecture, layers: int, neurons: int) -> PreTrainedModel:
    keep = Keep(list(range(layers)))
    if neurons != architecture.sizes.get("neurons", neurons):
        keep.units["neurons"] = [torch.arange(neurons)] * layers
    return cut(model, architecture, keep)
