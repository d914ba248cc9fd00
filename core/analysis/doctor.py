"""What can be done with a model on this machine, and what each method would take.

Nothing is started and no weights are read: the answers come from the anatomy and from the machine's
timed rates. Every figure here is an estimate.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from core.analysis.estimate import Estimate, ModelSize, estimate, read_probe
from core.base.settings import Settings
from core.base.text import one_line
from core.catalogue.anatomy import Anatomy
from core.catalogue.exportable import Described, quantisable, reason_against, remark_on
from core.recipe.recipe import Grid, Recipe, Sweep, Target
from core.registry.families import cannot, either, is_adapted, is_square, width_parts
from core.registry.family import CALIBRATION, PARTS
from core.registry.formats import EXPORTS
from core.registry.formatting import show_bytes
from core.registry.methods import METHODS, Method

_ROOM = 1.3  # activations, buffers and the interpreter's own, as a factor on the weights
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_GRADIENT_BYTES = 12  # float32 gradient, its square's sum and the weight it belongs to
_CAUSAL_ONLY = {"gradients"}
_INT8 = "Loading the result takes the package torchao beside transformers."


class Verdict(BaseModel):
    """One method and one model."""

    model_config = ConfigDict(frozen=True)
    method: str
    label: str
    possible: bool
    why: str
    """Why not, or what to know; empty where there is nothing to say."""
    memory_bytes: int
    """Peak memory, estimated."""
    estimate: Estimate
    """Baseline and one trial with a recipe's default texts and latency."""
    smaller: bool
    """True where file, memory and latency really shrink."""


class ExportOption(BaseModel):
    """A form the model can be written in: an export format, or int8 weights."""

    model_config = ConfigDict(frozen=True)
    id: str
    label: str
    explanation: str
    possible: bool
    why: str
    """Why not, or what to know; empty where there is nothing to say."""


def export_options(model: Described) -> list[ExportOption]:
    """What the model, and every model pruned from it, can be written as: int8 weights, then each export format.

    Pruning keeps the family, the tokenizer and heads that divide, so the answer holds for its results too.
    """
    reason = model.obstacle or quantisable(model.config)
    found = [_outlet("int8", "int8 weights", "The quantise step: a smaller file.", reason, _INT8)]
    for one in EXPORTS.values():
        found.append(_outlet(one.id, one.label, one.explanation, reason_against(one, model), remark_on(one, model)))
    return found


def _outlet(name: str, label: str, explanation: str, reason: str | None, remark: str) -> ExportOption:
    why = one_line(f"{reason[:1].upper()}{reason[1:]}." if reason else remark, 900)  # it may quote the config
    return ExportOption(id=name, label=label, explanation=explanation, possible=reason is None, why=why)


def size_of(found: Anatomy) -> ModelSize:
    """What an estimate needs of an anatomy."""
    return ModelSize(
        parameters=found.allocated,
        active_parameters=found.active_parameters,
        block_parameters=sum(layer.total for layer in found.layers),
        layers=found.shape.layers or len(found.layers),
        disk_bytes=found.disk_bytes,
    )


def diagnose(found: Anatomy, free_bytes: int, settings: Settings) -> list[Verdict]:
    """A verdict on every method of the registry, in its order.

    Args:
        found: the model.
        free_bytes: memory a job may use on this machine.
        settings: where the machine's timed rates are kept.
    """
    return [_verdict(m, found, free_bytes, settings) for m in METHODS.values()]


def memory_needed(method: Method, found: Anatomy, dtype: str) -> int:
    """Peak bytes, estimated: the weights (twice where a smaller model is built beside the dense one), statistics."""
    weights = found.bytes_in(dtype) * _ROOM
    if method.structured:
        weights *= 2
    if "hessian" in method.needs:
        weights += _hessian_bytes(found)
    if "second_moments" in method.needs:
        weights += 2 * 8 * (found.shape.intermediate or 0) ** 2
    if "gradients" in method.needs:
        weights += found.allocated * _GRADIENT_BYTES
    return round(weights)


def _verdict(method: Method, found: Anatomy, free_bytes: int, settings: Settings) -> Verdict:
    probe = read_probe(settings)
    needed = memory_needed(method, found, probe.dtype if probe else "float32")
    why = obstacle(method, found)
    if not why and needed > free_bytes:
        why = f"It takes about {show_bytes(needed)} of memory, and {show_bytes(free_bytes)} are free."
    return Verdict(
        method=method.id,
        label=method.label,
        possible=not why,
        why=why or _remark(method, found),
        memory_bytes=needed,
        estimate=estimate(_one_trial(method), size_of(found), settings),
        smaller=method.structured,
    )


def obstacle(method: Method, found: Anatomy) -> str:
    """Why a method cannot work with this model, whatever the machine; empty where it can."""
    shape = found.shape
    if found.obstacle:
        return found.obstacle
    if method.family == "experts" and not shape.experts:
        return "This model has no experts to remove."
    if method.needs_adapter and not is_adapted(shape.family):
        return f"Retort has no adapter that says how a '{shape.family}' model is built, so it cannot take parts out."
    if "hidden" in shape.stays and set(PARTS) <= set(shape.stays):
        return cannot("layers", shape.stays["layers"])
    if method.family == "depth" and "layers" in shape.stays:
        return cannot("layers", shape.stays["layers"])
    if method.family == "depth" and len(found.layers) - len(shape.pinned) < 1 + (not shape.pinned):
        return "This model has no two layers of which one could go."
    if method.family == "experts" and "experts" in shape.stays:
        return cannot("experts", shape.stays["experts"])
    if method.family == "width" and not _width_parts(method, found):
        return cannot("neurons", shape.stays["neurons"])
    if method.calibrated and CALIBRATION in shape.stays:
        return f"It needs to watch the layers on text, and this model does not allow that: {shape.stays[CALIBRATION]}."
    if shape.task != "causal" and (method.needs & _CAUSAL_ONLY or method.search_windows):
        return "It needs a model that predicts the next token."
    return ""


def _remark(method: Method, found: Anatomy) -> str:
    """What to know about a method that can work."""
    shape = found.shape
    if method.family == "weight":
        odd = sorted({w for w in (shape.hidden, shape.intermediate) if w and w % 4})
        return f"Unstructured only: {odd[0]} inputs are no multiple of 4, which 2:4 needs." if odd else ""
    if method.family == "width" and "neurons" in shape.stays:
        return f"Set 'parts' to {either(_width_parts(method, found))}. {cannot('neurons', shape.stays['neurons'])}"
    return ""


def _width_parts(method: Method, found: Anatomy) -> list[str]:
    return width_parts(is_square(found.shape.family), found.shape.stays, method.ranks_hidden)


def _hessian_bytes(found: Anatomy) -> int:
    """One block's Hessians and their factors: a square of the input width for each of its matrices, in float32."""
    hidden, inner = found.shape.hidden or 0, found.shape.intermediate or 0
    experts = found.shape.experts or 1
    attention = (found.shape.heads or 0) * (found.shape.head_dim or 0)
    return 2 * 4 * (hidden**2 + attention**2 + experts * (hidden**2 + inner**2))


def _one_trial(method: Method) -> Recipe:
    grid = (
        Grid(method=(method.id,), target=(Target(total_fraction=0.2),))
        if method.structured
        else Grid(method=(method.id,), sparsity=(0.5,))
    )
    return Recipe(name="estimate", model="sample:estimate", sweep=Sweep(grid=(grid,)))
