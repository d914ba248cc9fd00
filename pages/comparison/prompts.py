"""The same comparison on a list of prompts, so that one text does not decide."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.recipe.comparisons import Comparison
from core.registry.formatting import percent
from core.registry.prompts import FEWEST_PROMPTS
from pages.comparison import into_report, saved
from pages.comparison.models import Chosen
from pages.comparison.writing import Writing
from pages.frame import login
from pages.frame import tokens as marks
from pages.frame.live_answer import answered
from pages.frame.text import flat, md, plural
from pages.frame.tokens import visible


def section(chosen: Chosen, prompts: tuple[str, ...], how: Writing, busy: bool) -> None:
    st.caption("Each model goes on from each prompt; the others are compared with the first one on its texts.")
    go = login.button(
        "run",
        f"Compare on {plural(len(prompts), 'prompt')}",
        icon=":material/checklist:",
        key="compare-set",
        disabled=busy or not prompts,
    )
    say, place = st.empty(), st.empty()
    if go:
        seen: dict[str, list[Any]] = {"rows": [], "results": []}
        asked = {"prompts": list(prompts), **how.asked()}

        def draw(event: dict[str, Any]) -> None:
            for kind, rows in (("row", "rows"), ("result", "results")):
                if kind in event:
                    seen[rows].append(event[kind])
            if "row" in event:
                with place.container():
                    _table(chosen, seen["rows"])

        place.empty()
        if not answered("compare_set", {"models": chosen.references, **asked}, say, draw):
            return
        place.empty()
        if saved.keep("prompts", chosen, asked, seen) is None:
            return
    if (one := saved.latest("prompts", chosen)) is not None:
        with place.container():
            for found in one.found["results"]:
                _metrics(chosen, found)
            _table(chosen, one.found["rows"])
            saved.source(one)
            _read(chosen, one)
            into_report.several(chosen, one)


def _table(chosen: Chosen, rows: list[dict[str, Any]]) -> None:
    st.caption("Worst prompts first.")
    st.dataframe(
        [
            {
                "Prompt": flat(visible(r["prompt"]), 80),
                "Model": flat(chosen.names[r["model"]], 60),
                "Mean KL, nats": round(r["mean"], 3),
                "Agreement, %": round(r["agreement"]),
                "First model wrote": flat(visible(r["text"]), 160),
                "This model wrote": flat(visible(r["own"]), 160),
            }
            for r in _worst_first(rows)
        ],
        hide_index=True,
        alt="Every prompt with the mean KL and the agreement of each candidate, worst first",
    )


def _worst_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda r: -r["mean"])


def _read(chosen: Chosen, one: Comparison) -> None:
    """One prompt, side by side."""
    rows = _worst_first(one.found["rows"])
    numbers = list(dict.fromkeys(r["number"] for r in rows))
    words = {r["number"]: flat(visible(r["prompt"]), 90) for r in rows}
    number = st.selectbox(
        "Read one of them", numbers, key=f"compare-read-{one.id}", format_func=lambda n: f"{n + 1}. {words[n]}"
    )
    shown = sorted((r for r in rows if r["number"] == number), key=lambda r: r["model"])
    columns = st.columns(len(shown) + 1, gap="medium")
    with columns[0], st.container(border=True, height="stretch"):
        st.markdown(f"**{md(chosen.names[0])}**")
        st.html(marks.parted(shown[0]["text"], shown[0]["text"], f"What {flat(chosen.names[0])} wrote"))
    for column, row in zip(columns[1:], shown, strict=True):
        with column, st.container(border=True, height="stretch"):
            name = chosen.names[row["model"]]
            st.markdown(f"**{md(name)}**")
            st.html(marks.parted(row["own"], row["text"], f"What {flat(name)} wrote"))
            st.caption("Marked from where it leaves the first model's text. How it reads that text:")
            split = next((i for i, t in enumerate(row["tokens"]) if t["differs"]), None)
            st.html(marks.strip(row["tokens"], split, f"The first model's text, marked for {flat(name)}"))


def _metrics(chosen: Chosen, found: dict[str, Any]) -> None:
    st.markdown(f"**{md(chosen.names[found['model']])}** beside {md(chosen.names[0])}")
    with st.container(horizontal=True, gap="large"):
        st.metric(
            "Mean KL",
            f"{found['mean']:.3f} nats",
            width="content",
            delta_color="off",
            delta_arrow="off",
            delta=_ends(found, "low", "high", ".3f"),
            help=f"Mean over {plural(found['prompts'], 'prompt')}. Below it: its 95 % interval over prompts.",
        )
        st.metric(
            "Agreement",
            percent(found["agreement"] / 100.0),
            width="content",
            delta_color="off",
            delta_arrow="off",
            delta=_ends(found, "agreement_low", "agreement_high", ".0f"),
            help=f"How often both models find the same token likeliest, of {plural(found['compared'], 'token')}. Below "
            "it: its 95 % interval over prompts.",
        )


def _ends(found: dict[str, Any], low: str, high: str, form: str) -> str:
    """The interval of a figure over prompts, or why there is none."""
    prompts = int(found["prompts"])
    if prompts < FEWEST_PROMPTS:
        return f"no interval: {plural(prompts, 'prompt')}, and it takes {FEWEST_PROMPTS}"
    if found.get(low) is None or found.get(high) is None:
        return "no interval: compared by an earlier version"
    return f"{found[low]:{form}} to {found[high]:{form}}"
