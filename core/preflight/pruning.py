"""Whether a pruning step can work on a model, as far as its files tell.

Only what is certain is refused: of a target in shares or bytes the most that could go is bounded from above.
The engine decides the rest when it has the weights (`core.engine.prune.targets`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.analysis.doctor import obstacle as method_obstacle
from core.analysis.sensitivity import SensitivitySpec, find
from core.base.errors import Impossible, RetortError
from core.base.settings import Settings
from core.preflight.subject import Subject
from core.recipe.parts_asked import possible_parts, staying_asked
from core.recipe.recipe import Prune, Sizes, Target
from core.registry.families import is_square
from core.registry.formatting import percent, show_bytes
from core.registry.methods import METHODS

_SLACK = 1e-9
_NEURONS_AND_HEADS = {"width_flap": "FLAP", "width_obs": "OBS"}


def obstacle(
    step: Prune, subject: Subject, dtype: str, settings: Settings, coming: Sequence[SensitivitySpec] = ()
) -> RetortError | None:
    """Why the step cannot be done, or None where nothing speaks against it.

    Args:
        dtype: of the recipe: bytes on disk depend on it.
        coming: measurements of sensitivity that are queued or running, and will be there in time.
    """
    method, found = METHODS[step.method], subject.found
    if subject.task != found.shape.task:
        found = found.model_copy(update={"shape": found.shape.model_copy(update={"task": subject.task})})
    if why := method_obstacle(method, found):
        return Impossible(f"{method.label} cannot be used: {why}", "Choose another method, or another model.")
    return (
        _measured(step, subject, settings, coming)
        or (_layers(step, subject) if subject.sized else None)
        or (_target(step, subject, dtype) if step.target is not None and subject.sized else None)
    )


def _measured(
    step: Prune, subject: Subject, settings: Settings, coming: Sequence[SensitivitySpec]
) -> RetortError | None:
    """An allocation by sensitivity needs a measurement of this very model."""
    if step.allocation != "sensitivity":
        return None
    label = METHODS[step.method].label
    # Of a model that an earlier step will make, any measurement may be the one: an earlier run may have made it.
    specs = [known.spec for known in find(settings, subject.fingerprint or None, step.method)]
    specs += [spec for spec in coming if spec.method == step.method]
    if any(max(spec.sparsities) >= step.nominal for spec in specs):
        return None
    if not subject.fingerprint:
        return RetortError(
            f"The model that this step prunes does not exist yet, and no sensitivity was measured with {label} up to "
            f"{percent(step.nominal)}.",
            "Do the steps before in a run of their own and measure its model on the Sensitivity page, or use "
            "allocation 'owl' or 'uniform'.",
        )
    return RetortError(
        f"The sensitivity of this model was not measured with {label} up to {percent(step.nominal)}.",
        "Measure it on the Sensitivity page first, or use allocation 'owl' or 'uniform'.",
    )


def _layers(step: Prune, subject: Subject) -> RetortError | None:
    """What is protected must be there, and something must be left to prune."""
    beyond = [i for i in step.protect if not 0 <= i < subject.layers]
    if beyond:
        return Impossible(
            f"Layer {beyond[0]} cannot be protected: the model's layers are 0 to {subject.layers - 1}.",
            "Correct 'protect'.",
        )
    if subject.layers and not METHODS[step.method].structured and len(_removable(step, subject)) == 0:
        return Impossible("Every layer is protected, so there is nothing to prune.", "Protect fewer layers.")
    return None


def _removable(step: Prune, subject: Subject) -> list[int]:
    stay = {*step.protect, *(subject.found.shape.pinned if METHODS[step.method].structured else ())}
    return [i for i in range(subject.layers) if i not in stay]


def _target(step: Prune, subject: Subject, dtype: str) -> RetortError | None:
    target, parts, shape = step.target, _parts(step, subject), subject.found.shape
    assert target is not None
    if refused := staying_asked(METHODS[step.method], step, is_square(shape.family), shape.stays):
        return refused
    if "hidden" in parts and step.method in _NEURONS_AND_HEADS:
        name = _NEURONS_AND_HEADS[step.method]
        return Impossible(f"{name} ranks neurons and heads, not hidden channels.", "Choose another method for them.")
    if target.sizes is not None:
        return _sizes(target.sizes, parts, subject) or _count(
            subject.layers - (target.sizes.layers or subject.layers), step, subject
        )
    if target.remove_layers is not None:
        if "layers" not in parts:
            return Impossible(
                f"'{step.method}' does not remove layers.", "Give a fraction or sizes, or choose a depth method."
            )
        return _count(target.remove_layers, step, subject)
    return _alone(parts, subject, target) or _amount(target, step, parts, subject, dtype)


def _parts(step: Prune, subject: Subject) -> tuple[str, ...]:
    shape = subject.found.shape
    return possible_parts(METHODS[step.method], step.parts, is_square(shape.family), shape.stays)


def _count(remove: int, step: Prune, subject: Subject) -> RetortError | None:
    total, removable = subject.layers, len(_removable(step, subject))
    most = min(removable, total - 1)
    if remove <= most or not total:
        return None
    why = f"{total - removable} of them protected" if removable < total else "and one must stay"
    return Impossible(
        f"{remove} layers cannot be removed: the model has {total}, {why}.",
        f"Remove {most} or fewer." if most else "Protect fewer layers.",
    )


def _sizes(asked: Sizes, parts: tuple[str, ...], subject: Subject) -> RetortError | None:
    shape = subject.found.shape
    if parts == ("layers",) and any(v is not None for k, v in asked if k != "layers"):
        return Impossible("This method removes layers only.", "Leave the other sizes out, or choose a width method.")
    have = {
        "layers": subject.layers,
        "intermediate": shape.intermediate,
        "heads": shape.heads,
        "kv_heads": shape.kv_heads,
        "hidden": shape.hidden,
        "experts": shape.experts,
    }
    for name, wanted in asked:
        there = have[name]
        if wanted is not None and there and wanted > there:
            return Impossible(f"The model has {there} for '{name}', less than {wanted}.", "Ask for less.")
    least = shape.active_experts
    if asked.experts is not None and least and asked.experts < least:
        return Impossible(f"Each token uses {least} experts, so at least {least} must stay.", f"Keep {least} or more.")
    heads, groups = asked.heads or shape.heads, asked.kv_heads or shape.kv_heads
    if asked.heads is not None and heads and groups and heads % groups:
        return Impossible(
            f"{heads} query heads cannot be shared evenly by {groups} key-value heads.",
            f"Ask for a multiple of {groups} heads.",
        )
    return None


def _alone(parts: tuple[str, ...], subject: Subject, target: Target) -> RetortError | None:
    """Heads that cannot go without something else."""
    shape = subject.found.shape
    if target.block_fraction == 0 or target.total_fraction == 0 or not {"heads", "kv_groups"} >= set(parts):
        return None
    if is_square(shape.family):
        return Impossible(
            "This model's hidden size is tied to its heads, so heads cannot be removed alone.",
            "Remove 'hidden' channels, and as many heads go with them.",
        )
    if parts == ("heads",) and shape.heads and shape.heads == shape.kv_heads:
        return Impossible(
            "Each key-value head of this model serves one query head, so they go together.", "Remove 'kv_groups'."
        )
    return None


def _amount(target: Target, step: Prune, parts: tuple[str, ...], subject: Subject, dtype: str) -> RetortError | None:
    gone = most_removable(step, parts, subject)
    found = subject.found
    blocks = sum(layer.total for layer in found.layers)
    if gone is None or not blocks or not found.parameters:
        return None
    if target.megabytes is not None:
        least = (found.parameters - gone) * (4 if dtype == "float32" else 2) / 1e6
        if least <= target.megabytes:
            return None
        return Impossible(
            f"The model cannot be brought down to {target.megabytes:g} MB this way; its weights alone keep "
            f"{show_bytes(1e6 * least)}.",
            "Ask for more, or allow more parts to be removed.",
        )
    asked, whole, of = (
        (target.block_fraction, blocks, "block parameters")
        if target.block_fraction is not None
        else (target.total_fraction, found.parameters, "all parameters")
    )
    if asked is None or asked <= gone / whole + _SLACK:
        return None
    return Impossible(
        f"At most {percent(gone / whole, 1)} of {of} can be removed this way; {percent(asked, 1)} was asked for.",
        "Ask for less, or allow more parts to be removed.",
    )


def most_removable(step: Prune, parts: tuple[str, ...], subject: Subject) -> int | None:
    """The most parameters that taking out these parts could remove; None where that is not known from the files."""
    found = subject.found
    if parts == ("layers",):
        totals = {layer.index: layer.total for layer in found.layers}
        ranked = sorted((totals.get(i, 0) for i in _removable(step, subject)), reverse=True)
        return sum(ranked[: max(0, subject.layers - 1)])
    if METHODS[step.method].kind == "shapes":
        return _beyond_smallest_shape(step, parts, subject)
    full = found.shape.intermediate
    if parts == ("neurons",) and full:
        least = step.multiple if step.multiple < full else full
        return int(sum(layer.parameters.get("mlp", 0) for layer in found.layers) * (1 - least / full)) + 1
    return None


def _beyond_smallest_shape(step: Prune, parts: tuple[str, ...], subject: Subject) -> int:
    """What a search for a shape could take out: all layers that may go, and of those that stay all but the least.

    The least is one multiple of neurons and one key-value group; the search itself goes no further than an eighth.
    """
    shape, gone, left = subject.found.shape, 0.0, list(subject.found.layers)
    if "layers" in parts:
        may = set(_removable(step, subject))
        left = sorted(left, key=lambda layer: (layer.index in may, layer.total))
        stay = max(1, subject.layers - len(may))
        gone += sum(layer.total for layer in left[stay:])
        left = left[:stay]
    for layer in left:
        if "neurons" in parts and shape.intermediate:
            gone += layer.parameters.get("mlp", 0) * (1 - min(1, step.multiple / shape.intermediate))
        if "kv_groups" in parts and shape.heads:
            gone += layer.parameters.get("attention", 0) * (1 - 1 / (shape.kv_heads or shape.heads))
    return math.ceil(gone) + 1
