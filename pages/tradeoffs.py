"""Trade-offs: quality against what a model costs, and what pruning really saved."""

from pages.frame.shell import guard

guard()

from collections.abc import Sequence

import streamlit as st

from core.figures.recovery import MOST as MOST_ARROWS
from core.registry.formatting import show
from core.store import RunRow
from core.store.rows import Head
from pages.frame import charts, example_box, home, shell
from pages.frame.states import boundary, empty
from pages.frame.text import md, plural
from pages.run import panel
from pages.run.nothing_yet import nothing_yet
from pages.study import cards, recommended, selection
from pages.study import limits as bounds
from pages.study import tradeoff_choice as choice
from pages.study.tradeoff_data import NEAR, Drawn, Field, TradeoffPoints, View, apart, field
from pages.study.tradeoff_table import table_of_figures


def main() -> None:
    st.title("Trade-offs", anchor=False)
    runs, note = choice.chosen()
    if not runs:
        nothing_yet(
            "Nothing to compare yet",
            "This chart fills with the candidates of a sweep: their quality against their size and speed.",
            ":material/scatter_plot:",
        )
        example_box.offer(shell.path)
        return
    if note:
        st.caption(note)
    going = any(r.active for r in runs)
    st.fragment(follow, run_every=panel.POLL_SECONDS if going else None)([r.id for r in runs], going)


def follow(ids: Sequence[str], was_going: bool) -> None:
    """The page below the choice of studies: again every second or so while one of them is active."""
    with boundary():
        runs = [home.store().runs.get(i) for i in ids]
        if was_going != any(r.active for r in runs):
            st.rerun()
        board(runs)


def board(runs: Sequence[RunRow]) -> None:
    for run in runs:
        if run.active or run.state == "failed":
            panel.progress(run, [])
    everything = field(runs)
    if not everything.heads:
        empty("No candidate is finished yet", "The first point is the dense baseline; it appears in a moment.")
        return
    found = everything.metrics()
    first = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        axes = choice.axes(found)
        if axes is not None:
            methods = choice.methods(everything.methods)
            log_y, near = choice.view(f"Leaves out what is more than {NEAR:.0f} times worse, and counts it.")
    if axes is None:
        empty("Nothing to draw", "The candidates of this run share no pair of quality and cost.")
        return
    x, y = axes
    drawn_runs = comparable(runs, (x, y))
    drawn_field = everything if len(drawn_runs) == len(runs) else field(drawn_runs)
    place = st.container()
    limits = choice.limits(x, y, found)
    price = choice.price(x, [m for m, _ in limits])
    placed = drawn_field.placed(x, y, methods, price)
    told = drawn_field.recommendation(x, methods, limits, recommended.share(), price)
    chosen = selection.get(placed.heads)
    picked = chosen or [k for k in (told.shown if told is not None else placed.best[:2]) if k in placed.heads]
    letters = tuple(zip(picked, cards.LETTERS, strict=False))
    drawn = drawn_field.drawn(
        View(x, y, log_y, near, methods, limits, letters, shell.ground().name, recommended.share(), price=price)
    )
    if told is not None:
        with first, st.container(border=True):
            recommended.words(told, drawn_runs[0], {k for k, h in placed.heads.items() if h.saved})
    with place:
        st.plotly_chart(
            drawn.figure,
            key="chart",
            theme=None,
            on_select=toggle,
            selection_mode="points",
            config=charts.INTERACTIVE,
            alt=drawn.alt,
        )
    notes(drawn)
    compare(drawn_field, placed, picked, bool(chosen), y, price)
    with st.expander("All candidates as a table", icon=":material/table:", key="all", on_change="rerun") as listed:
        if listed.open:
            table(drawn_field, y, methods, found)


def comparable(runs: Sequence[RunRow], metrics: Sequence[str]) -> list[RunRow]:
    """Those that can be drawn with the first one; why the others cannot is said."""
    reasons = apart(runs, metrics)
    for run in runs[1:]:
        if why := reasons[run.id]:
            st.info(
                f"{md(run.name, 80)} is not drawn together with {md(runs[0].name, 80)}: {md('; '.join(why), 500)}. "
                "Figures measured differently say nothing about each other.",
                icon=":material/call_split:",
            )
    return [runs[0], *(r for r in runs[1:] if not reasons[r.id])]


def notes(drawn: Drawn) -> None:
    """How times came about, what the limits leave, what the chart leaves out, and what it does not show by itself."""
    if drawn.other_kind:
        st.caption(f":material/bolt: {md(drawn.other_kind, 400)}")
    if drawn.timing.reference:
        st.caption(f":material/timer: {md(drawn.timing.reference, 400)} Bars are 95 % intervals of the ratio.")
    if drawn.timing.busy:
        many = plural(len(drawn.timing.busy), "candidate")
        st.caption(f":material/crop_square: {many} in a square: timed while other work kept the machine busy.")
    if drawn.timing.alone:
        st.caption(
            f":material/timer_off: {plural(len(drawn.timing.alone), 'candidate')} not drawn: timed without the dense "
            "model in turns, so the time cannot be compared. Size and quality can."
        )
    if drawn.outcome.sentence:
        st.markdown(f":material/rule: {md(drawn.outcome.sentence, 900)}")
    if drawn.hidden:
        names = "; ".join(f"{md(p.label, 60)} ({show(p.y.metric, p.y.value)})" for p in drawn.hidden[:4])
        more = f" and {len(drawn.hidden) - 4:,} more" if len(drawn.hidden) > 4 else ""
        lie = "lies" if len(drawn.hidden) == 1 else "lie"
        st.caption(
            f":material/visibility_off: {plural(len(drawn.hidden), 'point')} {lie} outside the view: {names}{more}."
        )
    if drawn.crowded:
        st.caption(
            f":material/scatter_plot: With {drawn.count:,} candidates, error bars are drawn for the front only. "
            "Filters show fewer of them, with the error of each."
        )
    if drawn.recoveries > MOST_ARROWS:
        st.caption(
            f":material/trending_down: {drawn.recoveries:,} candidates were trained after pruning. Arrows from before "
            f"to after, and orders that changed, are shown for up to {MOST_ARROWS}: filters show fewer of them."
        )
    for after, behind in drawn.flips[:3]:
        st.caption(
            f":material/swap_vert: Training changed the order: {md(after.label, 120)} was behind "
            f"{md(behind.label, 120)} before it and is ahead now."
        )


def toggle() -> None:
    """A click on a point chooses it, or lets it go."""
    for point in st.session_state["chart"].selection.points:
        key = point.get("customdata")
        selection.toggle(key[0] if isinstance(key, list) else key)


def compare(
    shown: Field, placed: TradeoffPoints, picked: Sequence[str], chosen: bool, y: str, price: float | None
) -> None:
    st.header("Promised and measured", anchor=False)
    candidates = offered = placed.heads
    if len(placed.best) < len(candidates):
        offered = {k: candidates[k] for k in dict.fromkeys((*placed.best, *picked))}
    selection.widget(offered)
    if not candidates:
        st.caption("Only the baseline is measured so far.")
        return
    if len(offered) < len(candidates):
        st.caption(f"The list holds {len(offered):,} candidates, the front first; others are chosen on the chart.")
    if not picked:
        st.caption("Choose some, here or on the chart, to see what each really saves.")
        return
    if not chosen:
        st.caption("What the recommendation names is shown until you choose.")
    bases = {candidates[k].baseline_key for k in picked} - {None}
    results = shown.results([*picked, *(b for b in bases if b)])
    cards.row([results[k] for k in picked if k in results], results, y)
    onward(shown, [candidates[k] for k in picked], price)


def onward(shown: Field, picked: Sequence[Head], price: float | None) -> None:
    """Links with the same choice. Those pages show one study: that of the first of the chosen ones."""
    ids = [i for i, _ in shown.runs]
    run = ids[0]
    if len(ids) > 1 and picked:
        known = shown.store.candidates.runs_of(picked[0].key)
        run = next((i for i in ids if i in known), run)
    here = [("run", run), *(("pick", selection.short(h.key)) for h in picked)]
    query = st.query_params
    carried = ("x", "y", recommended.SHARE)
    seen = [(name, query[name]) for name in query if name in carried or name.startswith(bounds.key(""))]
    seen += [(choice.PRICE, f"{price:g}")] if price is not None else []
    with st.container(horizontal=True):
        if any(h.saved for h in picked):
            st.page_link(
                shell.path("compare"), label="Compare what they write", icon=":material/compare:", query_params=here
            )
        st.page_link(
            shell.path("report"), label="Make a report", icon=":material/summarize:", query_params=[*here, *seen]
        )


def table(shown: Field, y: str, methods: tuple[str, ...], found: set[str]) -> None:
    wanted = (
        y,
        "loss_change",
        "perplexity",
        "disk_bytes",
        "memory_bytes",
        "prefill_ms",
        "decode_ms",
        "sparsity_pruned",
    )
    st.dataframe(
        table_of_figures(shown, [m for m in dict.fromkeys(wanted) if m in found], methods),
        hide_index=True,
        alt="Every candidate with its figures",
    )


main()
