"""What a run is called where nobody named it: what is done, to which model, in a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from core.base.text import one_line
from core.recipe.budget import Budget, said
from core.recipe.distil import Distil
from core.recipe.parts import Target
from core.recipe.prune import Prune
from core.recipe.references import model_parts
from core.registry.methods import METHODS
from core.registry.samples import SAMPLES

LENGTH = 120
"""Characters of a run's name."""
_METHODS = 3
_AMOUNTS = 4


def model_name(reference: str, known: Mapping[str, str] | None = None) -> str:
    """'SmolLM2-135M-Instruct' for its sample, the last part of a path or of a hub's name, or what `known` calls it."""
    if known and reference in known:
        return one_line(known[reference], 80)
    parts = model_parts(reference)
    if parts is None:
        return one_line(reference, 60)
    kind, name, _ = parts
    if kind == "sample":
        return SAMPLES[name].label if name in SAMPLES else name
    if kind == "path":
        return one_line(PurePath(name).name or name, 60)
    if kind == "hub":
        return one_line(name.rpartition("/")[2], 60)
    return f"candidate {name.rpartition('/')[2][:8]}"


def sweep_name(model: str, prunes: Sequence[Prune], budget: Budget | None = None) -> str:
    """'Wanda 50 % of X', 'Wanda 20, 30 and 50 % of X', 'Sweep of X by Magnitude and Wanda', 'X within 180 MB'.

    Args:
        model: what the model is called.
        prunes: the trials, in their order.
    """
    methods = list(dict.fromkeys(METHODS[p.method].label for p in prunes))
    if not prunes:
        return _cut(f"{model} within {said(budget.limits())}" if budget is not None else model)
    if len(prunes) == 1 and budget is None:
        return _cut(f"{prunes[0].label()} of {model}")
    if len(methods) == 1 and budget is None and (amounts := _amounts(prunes)):
        return _cut(f"{methods[0]}{amounts} of {model}")
    by = _listed(methods) if len(methods) <= _METHODS else f"{len(methods)} methods"
    return _cut(f"Sweep of {model} by {by}")


def steps_name(model: str, steps: Sequence[object], known: Mapping[str, str] | None = None) -> str:
    """'X teaches Y', 'Fine-tuning of X', 'Wanda 50 % of X, then distilled', 'int8 weights of X'.

    Args:
        model: what the recipe's model is called.
        steps: those of a recipe; such as only measure or export change nothing and are named where nothing else is.
    """
    done = [s for s in steps if hasattr(s, "label")]
    if not done:
        return _cut(f"Measurement of {model}")
    first = done[0]
    changed = f"{_upper(_short(first))} of {model}"
    start = _training(model, first, known) if isinstance(first, Distil) else changed
    rest = [_after(s) for s in done[1:]]
    return _cut(", then ".join([start, *rest]) if len(rest) < _METHODS else f"{start}, then {len(rest)} more steps")


def _training(model: str, step: Distil, known: Mapping[str, str] | None) -> str:
    student = model if step.student == "current" else model_name(step.student, known)
    if not step.taught:
        return f"Fine-tuning of {student}"
    teacher = model if step.teacher == "baseline" else model_name(step.teacher, known)
    if step.design is not None:
        return f"{teacher} teaches a smaller one ({step.design.label()})"
    return f"{teacher} teaches {'itself' if student == teacher else student}"


def _after(step: object) -> str:
    if isinstance(step, Distil):
        return "distilled" if step.taught else "fine-tuned"
    return _short(step)


def _short(step: object) -> str:
    return str(step.label()) if hasattr(step, "label") else ""


def _amounts(prunes: Sequence[Prune]) -> str:
    """' 20, 30 and 50 %' or ', 2, 4 and 6 layers removed' where the trials differ in that alone; else ''."""
    if len({p.model_copy(update={"sparsity": None, "target": None}) for p in prunes}) > 1:
        return ""
    targets = [p.target for p in prunes]
    if all(isinstance(t, Target) and t.remove_layers is not None for t in targets):
        numbers, unit, between = [str(t.remove_layers) for t in targets if t is not None], "layers removed", ", "
    elif all(p.sparsity is not None and p.pattern == "unstructured" for p in prunes):
        numbers, unit, between = [f"{(p.sparsity or 0) * 100:g}" for p in prunes], "%", " "
    else:
        return ""
    return f"{between}{_listed(numbers) if len(numbers) <= _AMOUNTS else f'{numbers[0]} to {numbers[-1]}'} {unit}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _upper(text: str) -> str:
    """A capital first, except for a name that is written small, such as int8."""
    return text if any(c.isdigit() for c in text.split(" ")[0]) else text[:1].upper() + text[1:]


def _cut(text: str) -> str:
    return one_line(text, LENGTH)
