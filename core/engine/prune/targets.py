"""From "how much" to sizes: every target of a structured method becomes a number of layers and of units."""

from __future__ import annotations

import bisect
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from core.base.errors import Impossible
from core.engine.models.architectures import Architecture, Sizes
from core.engine.models.tokenizer_files import write_tokenizer
from core.engine.prune.surgery import Counts, count_parameters
from core.recipe.parts_asked import PART_OF_SIZE
from core.recipe.recipe import Part, Prune, Target
from core.recipe.recipe import Sizes as AskedSizes
from core.registry.formatting import percent

_FILES_BESIDE_WEIGHTS = 8_000
_HEADER_BYTES_PER_TENSOR = 140
_SLACK = 1e-9


@dataclass(frozen=True)
class Plan:
    """What the pruned model shall look like."""

    layers: int
    sizes: Sizes


@dataclass(frozen=True)
class Question:
    """Everything a target depends on."""

    model: PreTrainedModel
    tokenizer: Any
    architecture: Architecture
    parts: tuple[Part, ...]
    removable: tuple[int, ...]
    multiple: int

    def counts(self, plan: Plan) -> Counts:
        """Parameters of the planned model. Layers of one model are equally large or nearly so (mixed
        mixture-of-experts models): which ones go is decided later, so the first removable stand for them."""
        gone = set(self.removable[: self.architecture.layers - plan.layers])
        kept = [i for i in range(self.architecture.layers) if i not in gone]
        return count_parameters(self.model, self.architecture, plan.sizes, kept)

    def bytes(self, plan: Plan) -> int:
        """Bytes on disk of the planned model with its tokenizer, as `save_model` writes them."""
        tensors = sum(map(_stored_as, self.model.parameters()))
        weights = self.counts(plan).total * self.model.dtype.itemsize
        return weights + tensors * _HEADER_BYTES_PER_TENSOR + _FILES_BESIDE_WEIGHTS + self._tokenizer

    @cached_property
    def _tokenizer(self) -> int:
        """Written once to count it: a target of size asks for the bytes of several plans."""
        return tokenizer_bytes(self.tokenizer)


def plan_for(question: Question, prune: Prune) -> Plan:
    """The mildest plan that removes at least what the target asks for.

    Raises:
        RetortError: the target cannot be reached (with the nearest that can), or does not fit the method.
    """
    target = prune.target
    assert target is not None
    architecture = question.architecture
    if target.sizes is not None:
        return _explicit(question, target.sizes)
    if target.remove_layers is not None:
        if "layers" not in question.parts:
            raise Impossible(
                f"'{prune.method}' does not remove layers.", "Give a fraction or sizes, or choose a depth method."
            )
        _enough_layers(question, target.remove_layers)
        return Plan(architecture.layers - target.remove_layers, dict(architecture.sizes))
    ladder = _ladder(question)
    if len(ladder) == 1 and not _is_nothing(target):
        raise Impossible(_nothing_to_cut(question), "Choose other parts, or a smaller multiple.")
    return _first_that_fits(question, ladder, target)


def _stored_as(parameter: Tensor) -> int:
    """Tensors in the file for one in memory: fused experts are stored one by one, gate and up projections apart."""
    return 2 * parameter.shape[0] if parameter.dim() == 3 else 1


def tokenizer_bytes(tokenizer: Any) -> int:
    """Bytes of a tokenizer's files."""
    if tokenizer is None:
        return 0
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(tokenizer, Path(folder))
        return sum(p.stat().st_size for p in Path(folder).iterdir())


def _is_nothing(target: Target) -> bool:
    return target.block_fraction == 0 or target.total_fraction == 0


def _first_that_fits(question: Question, ladder: Sequence[Plan], target: Target) -> Plan:
    """Bisects the ladder, along which everything shrinks."""
    wanted, reached = reach_of(question, target, ladder[0])
    at = bisect.bisect_left(ladder, wanted - _SLACK, key=reached)
    if at < len(ladder):
        return ladder[at]
    raise too_much(target, wanted, reached(ladder[-1]))


def reach_of(question: Question, target: Target, dense: Plan) -> tuple[float, Callable[[Plan], float]]:
    """What a target asks for, and how far a plan gets: it meets the target where that is as much or more."""
    counts = question.counts(dense)
    if target.megabytes is not None:
        return -target.megabytes, lambda plan: -question.bytes(plan) / 1e6
    if target.block_fraction is not None:
        return target.block_fraction, lambda plan: 1 - question.counts(plan).blocks / counts.blocks
    assert target.total_fraction is not None
    return target.total_fraction, lambda plan: 1 - question.counts(plan).total / counts.total


def too_much(target: Target, wanted: float, best: float) -> Impossible:
    """The refusal of a target, with the most that could be reached."""
    if target.megabytes is not None:
        nearest, asked = f"{-best:.1f} MB", f"{target.megabytes:g} MB"
        return Impossible(
            f"The model cannot be brought down to {asked} this way; {nearest} is the least.",
            f"Ask for {nearest} or more, or allow more parts to be removed.",
        )
    of = "block parameters" if target.block_fraction is not None else "all parameters"
    return Impossible(
        f"At most {percent(best, 1)} of {of} can be removed this way; {percent(wanted, 1)} was asked for.",
        "Ask for less, or allow more parts to be removed.",
    )


def _ladder(question: Question) -> list[Plan]:
    """Plans from the dense model down, all parts shrinking by the same share as nearly as their steps allow."""
    steps = {part: _loadable(question, part, _steps(question, part)) for part in question.parts}
    shares = sorted({1 - count / counts[0] for counts in steps.values() for count in counts})
    plans: list[Plan] = []
    for share in shares:
        chosen = {p: min(c for c in counts if c >= counts[0] * (1 - share) - _SLACK) for p, counts in steps.items()}
        plan = _assemble(question, chosen)
        if refusal(question.architecture, plan.sizes) is None and (not plans or plan != plans[-1]):
            plans.append(plan)
    return plans


def _loadable(question: Question, part: Part, counts: list[int]) -> list[int]:
    """The counts that would load if only this part changed; all where several parts decide together."""
    if len({"heads", "kv_groups", "hidden"} & set(question.parts)) > 1:
        return counts
    return [c for c in counts if refusal(question.architecture, _assemble(question, {part: c}).sizes) is None]


def _steps(question: Question, part: Part) -> list[int]:
    """Sizes a part can have, largest first. For `heads`: query heads in a group."""
    architecture, sizes = question.architecture, question.architecture.sizes
    if part == "layers":
        least = max(1, architecture.layers - len(question.removable))
        return list(range(architecture.layers, least - 1, -1))
    if part == "heads":
        return list(range(architecture.group, 0, -1))
    if part == "kv_groups":
        return list(range(sizes.get("kv_heads", sizes["heads"]), 0, -1))
    if part == "experts":
        return list(range(sizes["experts"], question.model.config.num_experts_per_tok - 1, -1))
    if part == "hidden" and architecture.family.square:
        return [h * architecture.head_dim for h in range(sizes["heads"], 0, -1)]
    full, multiple = sizes[part], question.multiple
    return [full, *(c for c in range(full - full % multiple, 0, -multiple) if c < full)]


def _assemble(question: Question, chosen: dict[Part, int]) -> Plan:
    architecture = question.architecture
    sizes: Sizes = dict(architecture.sizes)
    if "kv_groups" in chosen or "heads" in chosen:
        groups = chosen.get("kv_groups", sizes.get("kv_heads", sizes["heads"]))
        sizes["heads"] = groups * chosen.get("heads", architecture.group)
        if "kv_heads" in sizes:
            sizes["kv_heads"] = groups
    for part in ("neurons", "hidden", "experts"):
        if part in chosen:
            sizes[part] = chosen[part]
    if "hidden" in chosen and architecture.family.square:
        sizes["heads"] = chosen["hidden"] // architecture.head_dim
    return Plan(chosen.get("layers", architecture.layers), sizes)


def refusal(architecture: Architecture, sizes: Sizes) -> str | None:
    """Why transformers could not load a model of these sizes, in one sentence; None where it can."""
    if "heads" not in sizes:
        return None
    heads, hidden = sizes["heads"], sizes["hidden"]
    kv_heads = sizes.get("kv_heads", heads)
    if heads % kv_heads:
        return f"{heads} query heads cannot be shared evenly by {kv_heads} key-value heads."
    if architecture.family.square and heads * architecture.head_dim != hidden:
        return (
            f"{architecture.family.name} models tie the hidden size to the heads: {heads} heads of "
            f"{architecture.head_dim} need a hidden size of {heads * architecture.head_dim}, not {hidden}."
        )
    if architecture.family.hidden_multiple_of_heads and hidden % heads:
        return (
            f"transformers loads a {architecture.family.name} model only where the number of heads divides its hidden "
            f"size; {heads} does not divide {hidden}."
        )
    return None


def _explicit(question: Question, asked: AskedSizes) -> Plan:
    architecture = question.architecture
    sizes: Sizes = dict(architecture.sizes)
    layers = asked.layers or architecture.layers
    if layers > architecture.layers:
        raise Impossible(f"The model has {architecture.layers} layers, fewer than {layers}.", "Ask for fewer.")
    _enough_layers(question, architecture.layers - layers)
    if question.parts == ("layers",) and any(v is not None for k, v in asked if k != "layers"):
        raise Impossible("This method removes layers only.", "Leave the other sizes out, or choose a width method.")
    for key, wanted in asked:
        part = PART_OF_SIZE[key]
        if wanted is None or part == "layers":
            continue
        axis: Any = "kv_heads" if part == "kv_groups" else part
        if axis not in sizes:
            raise Impossible(
                f"A {architecture.family.name} model has no '{key}' that can be set on its own.", "Leave it out."
            )
        if wanted > sizes[axis]:
            raise Impossible(f"The model has {sizes[axis]} for '{key}', less than {wanted}.", "Ask for less.")
        sizes[axis] = wanted
    if asked.kv_heads is not None and asked.heads is None:
        sizes["heads"] = asked.kv_heads * architecture.group
    if asked.experts is not None and asked.experts < question.model.config.num_experts_per_tok:
        least = question.model.config.num_experts_per_tok
        raise Impossible(f"Each token uses {least} experts, so at least {least} must stay.", f"Keep {least} or more.")
    reason = refusal(architecture, sizes)
    if reason is not None:
        raise Impossible(reason, _nearest(architecture, sizes))
    return Plan(layers, sizes)


def _nearest(architecture: Architecture, sizes: Sizes) -> str:
    """The remedy: head counts next to the one asked for that can be loaded."""
    fit = [h for h in range(1, architecture.sizes["heads"] + 1) if refusal(architecture, {**sizes, "heads": h}) is None]
    near = sorted(sorted(fit, key=lambda h: abs(h - sizes["heads"]))[:2])
    if not near:
        return "Choose other sizes."
    return f"With these sizes the model can have {' or '.join(map(str, near))} query heads."


def _enough_layers(question: Question, remove: int) -> None:
    total, removable = question.architecture.layers, len(question.removable)
    if remove and not removable:
        raise Impossible("All layers are protected, so none can be removed.", "Protect fewer layers.")
    if remove > min(removable, total - 1):
        most = min(removable, total - 1)
        raise Impossible(
            f"{remove} layers cannot be removed: the model has {total}, "
            + (f"{total - removable} of them protected." if removable < total else "and one must stay."),
            f"Remove {most} or fewer.",
        )


def _nothing_to_cut(question: Question) -> str:
    architecture = question.architecture
    if question.parts == ("layers",):
        return "All layers are protected, so none can be removed."
    if architecture.family.square and "hidden" not in question.parts and "neurons" not in question.parts:
        return (
            f"{architecture.family.name} models tie the hidden size to the heads, so heads cannot be removed alone: "
            "remove 'hidden' channels, and as many heads go with them."
        )
    if question.parts == ("heads",) and architecture.group == 1:
        return "Each key-value head of this model serves one query head, so they go together: remove 'kv_groups'."
    return f"No smaller size of {' and '.join(question.parts)} would load with plain transformers."
