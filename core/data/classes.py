"""Which class of a model does a label in a file mean? Found out, said, or refused with the way to say it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.base.errors import RetortError
from core.base.text import one_line

_SHOWN = 12


@dataclass(frozen=True)
class Classes:
    """`index` gives the class of each label; `names` are the classes in order; `note` says what had to be assumed."""

    index: dict[str, int]
    names: list[str]
    note: str = ""


def classes_of(
    labels: Sequence[str], names: Sequence[str] | None, given: Mapping[str, str], order: Sequence[str] | None, data: str
) -> Classes:
    """The class of every label.

    Args:
        labels: as they stand in the data.
        names: the classes of a model in the order of its scores; None where it has none yet.
        given: what the recipe says: label to class.
        order: the classes in the data set's own order, where it has one.
        data: what the data is called.

    Raises:
        RetortError: a label that no class of the model can be told to be; says both lists, and how to map them.
    """
    seen = list(dict.fromkeys(labels))
    meant = {label: given.get(label, label) for label in seen}
    known = list(names or order or sorted(dict.fromkeys(meant.values()), key=_by_number))
    index = {name: i for i, name in enumerate(known)}
    if all(name in index for name in meant.values()):
        return Classes({label: index[name] for label, name in meant.items()}, known)
    lower = {name.lower(): i for i, name in enumerate(known)}
    if len(lower) == len(known) and all(name.lower() in lower for name in meant.values()):
        return Classes({label: lower[name.lower()] for label, name in meant.items()}, known)
    if not given and all(re.fullmatch(r"\d{1,6}", label) and int(label) < len(known) for label in seen):
        said = ", ".join(f"{i} is {known[i]}" for i in sorted(map(int, seen)))
        return Classes({label: int(label) for label in seen}, known, f"The labels were read as class numbers: {said}.")
    raise _unknown(data, [name for name in meant.values() if name.lower() not in lower], known, seen)


def _unknown(data: str, strange: Sequence[str], known: Sequence[str], seen: Sequence[str]) -> RetortError:
    example = f"classes: {{{one_line(seen[0], 40)}: {one_line(known[0], 40)}, ...}}"
    return RetortError(
        f"{one_line(data, 200)} has the class '{one_line(strange[0], 60)}', which the model does not know. Its labels "
        f"are {_listed(seen)}; the model's classes are {_listed(known)}.",
        f"Say in the recipe, beside 'data', which label is which class ({example}), or use data with the model's "
        "classes.",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(one_line(n, 40) for n in names[:_SHOWN]) + more


def _by_number(label: str) -> tuple[int, str]:
    return (int(label), "") if label.isdecimal() and len(label) < 19 else (1 << 62, label)
