"""Changed predictions: the texts that classifiers answer differently, shown strictly as text."""

from __future__ import annotations

from collections import Counter
from typing import Any

import streamlit as st

from core.analysis.confusion import Together, change
from pages.comparison.models import Chosen
from pages.frame.text import flat, md, plural
from pages.frame.tokens import visible

_SHOWN = {"all": "All", "fixed": "Fixed", "broken": "Broken", "otherwise wrong": "Otherwise wrong"}
_LINE = 160  # characters of a text in the table
_HEIGHT = 220  # pixels


def section(chosen: Chosen, told: Together, seen: dict[str, Any]) -> None:
    """`seen`: what the host sent; empty until somebody has asked for the texts."""
    st.header("Changed predictions", anchor=False)
    st.caption("Fixed: wrong by A, right by the other. Broken: right by A, wrong by the other.")
    if not seen:
        _known(chosen, told)
        return
    rows = _rows(chosen, seen)
    for place, name in enumerate(chosen.names[1:], start=1):
        triples = zip(seen["gold"], seen["predicted"][0], seen["predicted"][place], strict=True)
        found = Counter(change(*triple) for triple in triples)
        st.markdown(
            f"**{md(name)}**: {found['fixed']:,} fixed, {found['broken']:,} broken, "
            f"{found['otherwise wrong']:,} otherwise wrong, {found['same']:,} as A."
        )
    if not rows:
        st.caption(":material/check: All models give every text the same class.")
        return
    wanted = st.radio("Show", list(_SHOWN), key="compare-changed", horizontal=True, format_func=_SHOWN.__getitem__)
    rows = [r for r in rows if wanted == "all" or wanted in r.values()]
    if not rows:
        st.caption("There is none of these.")
        return
    st.dataframe(
        [{k: v for k, v in r.items() if k != "whole"} | {"Text": flat(r["Text"], _LINE)} for r in rows],
        hide_index=True,
        alt="Texts the models answer differently, with the true class and each model's answer",
    )
    differing = sum(len(set(given)) > 1 for given in zip(*seen["predicted"], strict=True))
    if differing > len(seen["texts"]):
        st.caption(f"{plural(differing, 'text')} in all; the first {len(seen['texts']):,} are listed.")
    at = st.selectbox(
        "Read one of them",
        range(len(rows)),
        key=f"compare-read-{wanted}",
        format_func=lambda i: f"{rows[i]['Number']}. {rows[i]['True class']}: {flat(rows[i]['Text'], 80)}",
    )
    st.code(rows[at]["whole"] or " ", language=None, wrap_lines=True, height=_HEIGHT)


def _known(chosen: Chosen, told: Together) -> None:
    """Without the texts: what right and wrong alone tell."""
    for place, name in enumerate(chosen.names[1:], start=1):
        found = told.paired(place)
        st.markdown(f"**{md(name)}**: {found.fixed:,} fixed, {found.broken:,} broken.")
    said = "Press 'Show changed predictions' to read these texts."
    if not all(m.answers for m in told.models):
        said += " The runs kept no answers, so each model gives its own again; with fewer texts this is quicker."
    st.caption(said)


def _rows(chosen: Chosen, seen: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each text that is listed."""
    labels = [flat(visible(name), 40) for name in seen["labels"]]
    rows = []
    for index, text in seen["texts"]:
        gold, given = seen["gold"][index], [answers[index] for answers in seen["predicted"]]
        row: dict[str, Any] = {"Number": index + 1, "True class": labels[gold]}
        for name, answer in zip(chosen.names, given, strict=True):
            row[f"{name[:1]} says"] = labels[answer]
        for name, answer in zip(chosen.names[1:], given[1:], strict=True):
            row[name[:1]] = change(gold, given[0], answer)
        rows.append(row | {"Text": visible(text), "whole": visible(text, lines=True)})
    return rows
