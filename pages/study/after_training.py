"""What came of a distillation, before anything else: before, after and teacher, what that was worth, and what next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from core.analysis.regained import Regained, more_would_help, regained
from core.figures.curves import Curves
from core.recipe.comparisons import candidate_keys
from core.recipe.recipe import Distil
from core.recipe.results import TRAINED, Result
from core.registry.formatting import shown, significant, spread
from core.registry.metrics import metric
from core.store import RunRow
from pages.frame import home, shell
from pages.frame.text import duration, md
from pages.study import selection


def card(run: RunRow, series: Curves) -> None:
    """The last model that the run trained; nothing before there is one."""
    results = home.store().candidates.results(run_id=run.id)
    after = next((r for r in reversed(results) if r.method in TRAINED and r.distil), None)
    if after is None:
        return
    spec = Distil.model_validate(after.distil)
    before, teacher = _before(after, spec, results), _teacher(spec, results)
    found = regained(after, before, teacher)
    with st.container(border=True):
        st.header("What the training gave back", anchor=False)
        judged = f" {metric(found.metric).label}; below each figure stands its 95 % interval." if found else ""
        st.caption(f"{md(after.label)}.{judged}")
        if found is None:
            st.markdown("The trained model was judged by neither loss nor accuracy, so it cannot be told.")
        else:
            _figures(found, after, "Teacher" if spec.taught else "Original")
        _words(found, after, series)
        _ways(run, after, before)


def _before(after: Result, spec: Distil, results: Sequence[Result]) -> Result | None:
    """The student as it was; None where it was designed for this training and never measured by itself."""
    if spec.design is not None:
        return None
    if spec.student != "current":
        return _named(spec.student)
    known = {r.key: r for r in results}
    if after.parent:
        return known.get(after.parent) or home.store().candidates.get(after.parent)
    return known.get(after.baseline_key or "")


def _teacher(spec: Distil, results: Sequence[Result]) -> Result | None:
    if spec.earlier_step is not None:
        made = [r for r in results if not r.baseline]
        return made[spec.earlier_step - 1] if spec.earlier_step <= len(made) else None
    if spec.teacher != "baseline":
        return _named(spec.teacher)
    return next((r for r in results if r.baseline), None)


def _named(reference: str) -> Result | None:
    """The result of a candidate that a reference names; None for another model, which no run here has measured."""
    return next((home.store().candidates.get(key) for key in candidate_keys([reference])), None)


def _figures(found: Regained, after: Result, teacher: str) -> None:
    with st.container(horizontal=True, gap="large"):
        for name, m in (("Before", found.before), ("After", found.after), (teacher, found.teacher)):
            said = "not measured here" if m is None else shown(m)
            known = spread(m) if m is not None else ""
            st.metric(
                name,
                said,
                known or None,
                delta_color="off",
                delta_arrow="off",
                width="content",
            )
        if found.share is not None:
            low, high = (f"{100 * end:.0f}" for end in found.share[1:]) if found.share.known else ("", "")
            st.metric(
                f"Recovered of the lost {found.metric}",
                f"{100 * found.share.value:.0f} %",
                f"{low} to {high} %" if low else None,
                delta_color="off",
                delta_arrow="off",
                width="content",
                help="(before - after) / (before - teacher). Fieller's interval over the windows or items "
                "that all three have in common.",
            )
        minutes = float(after.facts.get("training_seconds") or 0.0) / 60
        if found.gain is not None and minutes > 0:
            st.metric(
                "Gain a minute",
                f"{significant(found.gain / minutes, 3)} {metric(found.metric).unit}".strip(),
                f"{duration(60 * minutes)} of training",
                delta_color="off",
                delta_arrow="off",
                width="content",
            )


def _words(found: Regained | None, after: Result, series: Curves) -> None:
    if found is not None and found.why:
        st.caption(md(found.why))
    said = _held_out(series) if found is not None and found.before is None else ""
    if said:
        st.markdown(md(said))
    steps, best = after.facts.get("steps"), after.facts.get("best_step")
    if steps:
        stopped = "Stopped on request after" if after.facts.get("stopped") == "Stopped on request." else "Trained for"
        kept = f"; the weights of step {best:,}, the best on held-out text, are kept" if best is not None else ""
        st.markdown(f"{stopped} **{steps:,} steps**{kept}.")
    checks = series.get("held_out/total", ())
    if checks:
        st.markdown(f"Would more training help? {md(more_would_help(checks)[1])}")


def _held_out(series: Curves) -> str:
    """Before and after by the checks on held-out text, for a student that was never measured by itself."""
    name = "cross_entropy" if "held_out/cross_entropy" in series else "total"
    checks, level = series.get(f"held_out/{name}", ()), series.get(f"teacher/{name}", ())
    if len(checks) < 2 or checks[0].step:
        return ""
    best = min(checks, key=lambda c: c.value)
    said = f"Loss on held-out text: {significant(checks[0].value, 4)} before, {significant(best.value, 4)} at its best"
    return said + (f", {significant(level[-1].value, 4)} for the teacher." if level else ".")


def _ways(run: RunRow, after: Result, before: Result | None) -> None:
    """What to do with it now."""
    own = {r.key for r in home.store().candidates.rows(run_id=run.id) if not r.baseline}
    picked = [r.key for r in (after, before) if r is not None and r.key in own]
    query: Mapping[str, str | list[str]] = {"run": run.id, "pick": [selection.short(k) for k in picked]}
    with st.container(horizontal=True):
        if after.saved:
            st.page_link(shell.path("compare"), label="Compare", icon=":material/compare:", query_params=dict(query))
        st.page_link(shell.path("report"), label="Report", icon=":material/summarize:", query_params=dict(query))
