"""A distillation that was started: its curves, its speed, what teacher and student write, and how to end it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.figures.curves import Curves, Level, alt, curves
from core.jobs import actions
from core.registry.formatting import show_bytes, significant
from core.store import EventRow, RunRow, SeriesPoint, TrialRow
from pages.frame import charts, home, login, shell
from pages.frame.states import empty
from pages.frame.text import md, plural
from pages.frame.tokens import visible
from pages.run import panel
from pages.study import after_training

_CHART = 340  # pixels
_POINTS = 300


def progress(run: RunRow, trials: list[TrialRow]) -> None:
    """What changes while it runs; what came of it first, once there is something."""
    panel.show_refusal()
    panel.progress(run, trials)
    store = home.store()
    series = {name: store.series.read(run.id, name, _POINTS) for name in store.series.names(run.id)}
    stopping = run.state == "running" and actions.is_stopping(run.id, home.settings())
    if stopping:
        _stopping(series)
    with st.container(horizontal=True, vertical_alignment="center"):
        panel.buttons(run, trials, "distil")
        if run.state == "running" and "loss/total" in series and not stopping:
            login.button(
                "run",
                "Stop and keep",
                icon=":material/save:",
                on_click=panel.do,
                args=(actions.stop_and_keep, run.id),
                help="Ends the training now; the best weights so far are kept, measured and can be used.",
            )
        panel.tradeoffs_link(run)
    after_training.card(run, series)
    if "loss/total" not in series:
        _no_step(run)
    else:
        _numbers(series)
        _charts(series)
    _samples(store.events.tail(run.id, 400))
    with st.expander("Trials", icon=":material/list:"):
        panel.trials_table(trials)
    with st.expander("Log", icon=":material/terminal:"):
        panel.log_tail(run.id)


def _stopping(series: Curves) -> None:
    """Said at once: the training itself ends with the step it is in."""
    points = series.get("loss/total")
    done = plural(points[-1].step, "step") if points else "0 steps"
    st.info(
        "It ends with the step it is in and a last check on held-out text; then the student is measured.",
        title=f"Stopping: {done} done so far are kept",
        icon=":material/save:",
    )


def _no_step(run: RunRow) -> None:
    if run.active:
        title, text = "No step yet", "The teacher is measured first; then every step adds a point."
    elif run.state == "done":
        title, text = "Nothing had to be trained", "The same student was trained before, and its result is used."
    else:
        title, text = "No step was made", "The reason stands above."
    empty(title, text, icon=":material/show_chart:", height=_CHART)


def _last(series: Curves, name: str) -> float | None:
    points = series.get(name)
    return points[-1].value if points else None


def _numbers(series: Curves) -> None:
    speed = _last(series, "tokens_per_second")
    held, memory = series.get("held_out/total", ()), _last(series, "memory_bytes")
    with st.container(horizontal=True):
        st.metric("Step", f"{series['loss/total'][-1].step:,}", width="content")
        if held:
            change = held[-1].value - held[0].value
            st.metric(
                "Held-out loss",
                significant(held[-1].value, 4),
                significant(change, 3) if len(held) > 1 else None,
                delta_color="green" if change < 0 else "red",
                delta_arrow="down" if change < 0 else "up",
                width="content",
                help="On text it does not learn from.",
            )
        if speed is not None:
            st.metric("Tokens a second", f"{speed:,.0f}", width="content")
        if memory is not None:
            st.metric("Memory", show_bytes(memory), width="content")


def _charts(series: dict[str, list[SeriesPoint]]) -> None:
    ground = shell.ground()
    groups = (
        ("Loss of each step", "loss/"),
        ("Held-out loss", "held_out/"),
        ("Share of the gradient", "gradient_share/"),
        ("Learning rate", "learning_rate"),
    )
    columns = st.columns(2, gap="large")
    for i, (title, prefix) in enumerate(groups):
        chosen = {n: p for n, p in sorted(series.items(), key=_total_last) if n.startswith(prefix) and p}
        if len(chosen) == 2 and any(n.endswith("/total") for n in chosen):
            chosen = {n: p for n, p in chosen.items() if not n.endswith("/total")}  # one term is its own sum
        with columns[i % 2]:
            st.markdown(f"**{title}**")
            if not chosen:
                st.caption("Comes with the first check.")
                continue
            lines = _levels(series, chosen) if prefix == "held_out/" else []
            st.plotly_chart(
                curves(chosen, ground, share=prefix == "gradient_share/", height=_CHART, levels=lines),
                theme=None,
                config=charts.STATIC,
                key=f"curve-{prefix}",
                alt=alt(chosen, title, lines),
            )


def _levels(series: Curves, drawn: Curves) -> list[Level]:
    """What student and teacher were worth before the first step, for the mix and for the loss on the text."""
    found = []
    for name in [n for n in ("held_out/total", "held_out/cross_entropy") if n in drawn] or list(drawn)[-1:]:
        checks, level = drawn[name], series.get(name.replace("held_out/", "teacher/"), ())
        if checks[0].step == 0:
            found.append(Level(name, "Undistilled", checks[0].value))
        if level:
            found.append(Level(name, "Teacher", level[-1].value))
    return found


def _total_last(item: tuple[str, list[SeriesPoint]]) -> tuple[bool, str]:
    return item[0].endswith("/total"), item[0]


def _samples(events: Sequence[EventRow]) -> None:
    """What teacher and student write to the same prompt; model text is shown as text, whatever it holds."""
    written = [e for e in events if e.data.get("sample")]
    if not written:
        return
    teacher = next((e for e in reversed(written) if e.data["sample"] == "teacher"), None)
    student = [e for e in written if e.data["sample"] == "student"]
    st.markdown("**What they write**")
    st.caption(f"Prompt: {md(str(written[-1].data.get('prompt', '')), 400)}")
    left, right = st.columns(2, gap="large")
    with left:
        if teacher is not None:
            st.caption("Teacher")
            st.code(visible(str(teacher.data.get("text", "")), lines=True), language=None, wrap_lines=True)
    with right:
        if student:
            now, first = student[-1], student[0]
            st.caption(f"Student at step {now.data.get('step', 0)}")
            st.code(visible(str(now.data.get("text", "")), lines=True), language=None, wrap_lines=True)
            if now is not first:
                with st.expander(f"At step {first.data.get('step', 0)}"):
                    st.code(visible(str(first.data.get("text", "")), lines=True), language=None, wrap_lines=True)
