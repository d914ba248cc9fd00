"""Reads what a report shows of saved comparisons and votes from the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from core.analysis.texts_apart import parting
from core.analysis.votes import sign_test, verdict
from core.recipe.comparisons import Comparison
from core.report.model import Report
from core.report.said import Other, Said, Texts, Token, Voted
from core.store import Store

MOST = 12
"""Prompts of one report."""


def with_comparisons(report: Report, store: Store, texts: Sequence[str] = ()) -> Report:
    """The report with the votes on its candidates, and with these texts.

    Args:
        texts: `ID` of saved texts, or `ID.N` of the prompt N of a saved list, as an address has them.
    """
    names = {f"run:{key}": f"{letter}. {_label(report, key)}" for key, letter in report.letters.items()}
    found = [_texts(store, t, names) for t in dict.fromkeys(texts[:MOST])]
    shown = tuple(t for t in found if t is not None)
    votes = tuple(_votes(report.run.model, store, names))
    return replace(report, said=Said(shown, votes, len(found) - len(shown)))


def _label(report: Report, key: str) -> str:
    return next(c.label for c in report.chosen if c.key == key)


def _texts(store: Store, text: str, names: dict[str, str]) -> Texts | None:
    comparison_id, _, number = text.partition(".")
    found = store.comparisons.get(comparison_id)
    if found is None:
        return None
    called = [names.get(_by_key(r), name) for r, name in zip(found.models, found.names, strict=False)]
    if found.kind == "texts" and not number:
        return _written(found, called)
    if found.kind == "prompts" and number.isdecimal() and len(number) < 6:
        return _compared(found, called, int(number))
    return None


def _by_key(reference: str) -> str:
    return f"run:{reference.rpartition('/')[2]}" if reference.startswith("run:") and "/" in reference else reference


def _written(found: Comparison, called: Sequence[str]) -> Texts | None:
    texts = {int(t["model"]): str(t["text"]) for t in found.found.get("texts", [])}
    if not {0, 1} <= texts.keys():
        return None
    others = tuple(Other(called[i], t, parting(t, texts[0])) for i, t in sorted(texts.items()) if i)
    return Texts(str(found.settings.get("prompt", "")), _how(found), texts[0], others)


def _compared(found: Comparison, called: Sequence[str], number: int) -> Texts | None:
    rows: list[dict[str, Any]] = [r for r in found.found.get("rows", []) if r["number"] == number]
    if not rows:
        return None
    others = []
    for row in sorted(rows, key=lambda r: int(r["model"])):
        tokens = tuple(Token(str(t["text"]), float(t["kl"]), bool(t["differs"])) for t in row["tokens"])
        own = str(row["own"])
        others.append(
            Other(called[row["model"]], own, parting(own, row["text"]), tokens, row["mean"], row["agreement"])
        )
    return Texts(str(rows[0]["prompt"]), _how(found), str(rows[0]["text"]), tuple(others))


def _how(found: Comparison) -> str:
    told = found.settings
    if not told.get("temperature"):
        return f"Up to {told.get('tokens')} tokens, always the likeliest one."
    return (
        f"Up to {told.get('tokens')} tokens, drawn at temperature {told['temperature']} with seed {told.get('seed')}."
    )


def _votes(original: str, store: Store, names: dict[str, str]) -> Iterator[Voted]:
    for reference, name in names.items():
        tally = store.votes.tally(original, reference)
        if sum(tally):
            said = verdict("The original", tally.first, name, tally.second, tally.neither)
            yield Voted(name, *tally, sign_test(tally.first, tally.second), said)
