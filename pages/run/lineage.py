"""One run among others: what it was built on and what was built on it, as a figure and as links."""

from __future__ import annotations

import streamlit as st

from core.analysis.lineage import Lineage, Node, ancestry, family
from core.figures import lineage as figures
from core.store import RunRow
from pages.frame import charts, home, shell, studies
from pages.frame.states import boundary
from pages.frame.text import flat, md

_WIDTH = 820
_LISTED = 30


def lineage(run: RunRow) -> None:
    """The figure where there is more than one step to show, and lists of links."""
    if run.kind not in studies.KINDS:
        return
    runs = home.store().runs
    with boundary():
        nodes = ancestry(run.id, lambda known: runs.get(known).recipe, runs.owner)
        above = {n.run: runs.get(n.run) for n in nodes if n.run}
        found = family(run.id, runs.derived() | {i: r.recipe for i, r in above.items()}, runs.owner)
        below = [runs.get(m.run) for m in found.members if m.run and m.level > 0]
        st.header("Lineage", anchor=False)
        if len(found.ties) > 1:
            names = {r.id: flat(f"{r.name} ({r.id[-4:]})") for r in (*above.values(), *below)}
            st.plotly_chart(
                figures.lineage(found, run.id, names, shell.ground()),
                theme=None,
                config=charts.STATIC,
                width=_WIDTH,
                key="lineage",
                alt=figures.alt(found, run.id, names),
            )
            if len(found.members) > figures.MOST:
                st.caption(f"The nearest {figures.MOST} of {len(found.members)}.")
        st.markdown("Built on:\n" + _above(nodes, above))
        if below:
            st.markdown("Used by:\n" + _below(found, below))


def _above(nodes: list[Node], runs: dict[str, RunRow]) -> str:
    """An indented list, each known run a link to it."""
    lines = []
    for n in nodes[1:]:
        name = md(f"{runs[n.run].name} ({n.reference})" if n.run else n.reference)
        link = f"[{name}](?run={n.run})" if n.run else name
        lines.append(f"{'  ' * (n.depth - 1)}- {n.role.capitalize()}: {link}{', listed above' * n.repeated}")
    return "\n".join(lines)


def _below(found: Lineage, runs: list[RunRow]) -> str:
    """The runs that start from a model of this one, or of one of those; the nearest first."""
    roles = {t.child: t.role for t in reversed(found.ties)}
    lines = [f"- [{md(r.name)}](?run={r.id}), as {roles[r.id]}" for r in runs[:_LISTED]]
    return "\n".join([*lines, *([f"- and {len(runs) - _LISTED} more"] if len(runs) > _LISTED else [])])
