"""How the searches of a run went, or go: the best found so far over what was judged."""

from __future__ import annotations

import streamlit as st

from core.figures.search import PREFIX, Searches, alt, searches
from core.registry.formatting import significant
from core.store import RunRow
from core.store.rows import TrialRow
from pages.frame import charts, home, shell
from pages.frame.text import md, plural

_POINTS = 200


def of_run(run: RunRow) -> None:
    """Every search of a run, live while it goes on; nothing where there was none."""
    store = home.store()
    names = [n for n in store.series.names(run.id) if n.startswith(PREFIX)]
    found = {n.removeprefix(PREFIX): [(p.step, p.low) for p in store.series.read(run.id, n, _POINTS)] for n in names}
    if found:
        st.header("Search", anchor=False)
        _draw(found, f"searches-{run.id}")


def of_candidate(trial: TrialRow) -> None:
    """The search that found a candidate, as it is kept with the candidate."""
    result = home.store().candidates.get(trial.key)
    facts = result.facts.get("search") if result is not None else None
    curve = facts.get("curve") if isinstance(facts, dict) else None
    if isinstance(curve, list) and curve:
        st.markdown(f"**How {md(trial.label)} was found**")
        _draw({trial.label: [(float(x), float(y)) for x, y in curve]}, f"search-{trial.key}")


def _draw(found: Searches, key: str) -> None:
    st.plotly_chart(searches(found, shell.ground()), theme=None, config=charts.STATIC, key=key, alt=alt(found))
    said = [
        f"{md(n)}: {plural(int(p[-1][0]), 'candidate')} judged, best KL {significant(p[-1][1], 3)} nats."
        for n, p in found.items()
    ]
    st.caption("  \n".join(said))
    st.caption(
        "KL says how far the predictions of the best candidate so far are from the dense model's on calibration text: "
        "lower is nearer. Candidates of a search are put together from parts that were healed apart; the best is then "
        "cut, healed as a whole and measured as any other."
    )
