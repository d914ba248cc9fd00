"""Trade-offs: quality against what a model costs, and what pruning really delivered."""

from pages.shared.shell import guard

guard()

import math

import streamlit as st

from core.analysis.differences import examples
from core.analysis.limits import within_limits
from core.figures.limits import draw_limits
from core.figures.points import points_of
from core.figures.recovery import rank_flips
from core.figures.tradeoff import Point, alt, clipped, tradeoff
from core.metrics import METRICS, metric, show
from core.results import Result
from core.store import RunRow
from pages.shared import cards, charts, home, picks, run_panel, shell, studies
from pages.shared.states import empty
from pages.shared.text import flat, md, plural

NEAR = 4.0  # times the baseline's value: where the view "near the baseline" ends


def main() -> None:
    st.title("Trade-offs", anchor=False)
    run = study()
    if run is None:
        empty(
            "Nothing to compare yet",
            "This chart fills with the candidates of a sweep: their quality against their size and speed.",
            shell.path("start"),
            "Run the sample study",
            icon=":material/scatter_plot:",
        )
        return
    run_panel.live(run.id, lambda now, _: board(now))


def study() -> RunRow | None:
    """The run in the URL, else the one looked at last, else the newest with candidates."""
    runs = studies.recent()
    known = {r.id for r in runs}
    wanted = st.query_params.get("run")
    if wanted and wanted not in known:
        runs.insert(0, home.store().runs.get(wanted))
    if not wanted and st.session_state.get("_study") in known:  # it may have been deleted since
        wanted = st.session_state["_study"]
    by_id = {r.id: r for r in runs if r.trials_done or r.id == wanted}
    if not by_id:
        return None
    st.session_state["study"] = wanted if wanted in by_id else next(iter(by_id))
    chosen = st.selectbox(
        "Study", list(by_id), key="study", width=560, on_change=change_study,
        format_func=lambda i: studies.label(by_id[i]),
    )  # fmt: skip
    st.query_params["run"] = st.session_state["_study"] = chosen
    return by_id[chosen]


def change_study() -> None:
    st.query_params["run"] = st.session_state["study"]
    picks.put([])


def board(run: RunRow) -> None:
    results = home.store().candidates.results(run_id=run.id)
    if run.active or run.state == "failed":
        run_panel.progress(run, [])
    if not results:
        empty("No candidate is finished yet", "The first point is the dense baseline; it appears in a moment.")
        return
    y, x, log_y, near = axes(results)
    if y is None or x is None:
        empty("Nothing to draw", "The candidates of this run share no pair of quality and cost.")
        return
    baselines = {r.key: r for r in results if r.baseline}
    candidates = {r.key: r for r in results if not r.baseline}
    picked = picks.get(candidates)
    chosen = bool(picked)
    picked = picked or [c.key for c in examples(list(candidates.values()), y)]
    points = points_of(results, x, y)
    limit = None
    if near and baselines:
        limit = next((NEAR * p.y.value for p in points if p.baseline), None)
    limits = limits_form(x, y)
    chart(points, {k: cards.LETTERS[i] for i, k in enumerate(picked)}, log_y, limit, limits)
    compare(candidates, baselines, picked, chosen, y)
    with st.expander("All candidates as a table", icon=":material/table:"):
        table(results, y)


def axes(results: list[Result]) -> tuple[str | None, str | None, bool, bool]:
    """Quality and cost to draw, whether quality is logarithmic, and whether far points are left out."""
    found = {m.metric for r in results for m in r.measurements}
    known = [*(m for m in METRICS if m in found), *sorted(found - set(METRICS))]
    qualities, costs = ([m for m in known if metric(m).role == role] for role in ("quality", "cost"))
    if not qualities or not costs:
        return None, None, False, False
    with st.container(horizontal=True, vertical_alignment="bottom"):
        y = st.selectbox(
            "Quality", qualities, key="y", bind="query-params", format_func=lambda m: metric(m).label, width=220,
            help="How good the models are, upwards on the chart.",
        )  # fmt: skip
        default = costs.index("disk_bytes") if "disk_bytes" in costs else 0
        x = st.selectbox(
            "Cost", costs, index=default, key="x", bind="query-params", format_func=lambda m: metric(m).label,
            width=220, help="What they cost, to the right on the chart.",
        )  # fmt: skip
        log_y = st.toggle("Logarithmic quality", value=True, key="log", bind="query-params")
        near = st.toggle(
            "Near the baseline", key="near", bind="query-params",
            help=f"Leaves out what is more than {NEAR:.0f} times the baseline's value, and counts it.",
        )  # fmt: skip
    return y, x, log_y, near


def limits_form(x: str, y: str) -> tuple[float | None, float | None]:
    """Limits the reader sets on cost and quality, in the metrics' own units; they live in the URL."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        found = [bound_of(m) for m in (x, y)]
    return found[0], found[1]


def bound_of(metric_id: str) -> float | None:
    described = metric(metric_id)
    unit, scale = ("MB", 1e6) if described.unit == "B" else (described.unit, 1.0)
    if metric_id in ("parameters", "nonzero_parameters"):
        unit, scale = "millions", 1e6
    bound = "at most" if described.better == "lower" else "at least"
    value = st.number_input(
        f"{described.label}, {bound}" + (f" ({unit})" if unit else ""), value=None, format="%g", width=300,
        key=f"limit-{metric_id}", bind="query-params", placeholder="No limit",
        help="What is outside is shaded on the chart, and the best model inside is ringed.",
    )  # fmt: skip
    return None if value is None or not math.isfinite(value) else float(value) * scale


def chart(
    points: list[Point], letters: dict[str, str], log_y: bool, limit: float | None,
    bounds: tuple[float | None, float | None],
) -> None:  # fmt: skip
    figure = tradeoff(points, shell.ground(), picked=letters, log_y=log_y, y_limit=limit)
    found = within_limits([p for p in points if p.drawable], *bounds)
    limited = bounds != (None, None)
    if limited:
        draw_limits(figure, points, *bounds, found, shell.ground())
    st.plotly_chart(
        figure, key="chart", theme=None, on_select=toggle, selection_mode="points", config=charts.INTERACTIVE,
        alt=alt(points, limit) + (f" {found.sentence}" if limited else ""),
    )  # fmt: skip
    if found.sentence and limited:
        st.markdown(f":material/rule: {md(found.sentence, 600)}")
    for after, behind in rank_flips(points)[:3]:
        st.caption(
            f":material/swap_vert: Training changed the order: {md(after.label, 120)} was behind "
            f"{md(behind.label, 120)} before it and is ahead now."
        )
    hidden = clipped(points, limit)
    if hidden:
        names = "; ".join(f"{md(p.label, 60)} ({show(p.y.metric, p.y.value)})" for p in hidden[:4])
        more = f" and {len(hidden) - 4} more" if len(hidden) > 4 else ""
        st.caption(f":material/visibility_off: {plural(len(hidden), 'point')} outside this view: {names}{more}.")


def toggle() -> None:
    """A click on a point chooses it, or lets it go."""
    for point in st.session_state["chart"].selection.points:
        key = point.get("customdata")
        picks.toggle(key[0] if isinstance(key, list) else key)


def compare(
    candidates: dict[str, Result], baselines: dict[str, Result], picked: list[str], chosen: bool, y: str
) -> None:
    st.header("Promised and delivered", anchor=False)
    picks.widget(candidates)
    if not candidates:
        st.caption("Only the baseline is measured so far.")
        return
    if not chosen:
        st.caption("Two examples are shown until you choose.")
    cards.row([candidates[k] for k in picked], baselines, y)
    here = [("run", st.query_params["run"]), *(("pick", picks.short(k)) for k in picked)]
    with st.container(horizontal=True):
        if any(candidates[k].saved for k in picked):
            st.page_link(
                shell.path("compare"), label="Compare what they write", icon=":material/compare:", query_params=here
            )
        st.page_link(shell.path("report"), label="Make a report", icon=":material/summarize:", query_params=here)


def table(results: list[Result], y: str) -> None:
    wanted = (y, "loss_change", "disk_bytes", "memory_bytes", "prefill_ms", "decode_ms", "sparsity_pruned")
    columns = [m for m in dict.fromkeys(wanted) if any(x.metric == m for r in results for x in r.measurements)]
    rows = []
    for result in results:
        values = {m.metric: m for m in result.measurements}
        rows.append(
            {"Candidate": flat(result.label)}
            | {metric(m).label: show(m, values[m].value if m in values else None) for m in columns}
        )
    st.dataframe(rows, hide_index=True, alt="Every candidate with its figures")


main()
