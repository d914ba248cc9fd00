"""Start: four steps and the sample study; later the latest study. Then the guide to choosing a technique."""

from pages.frame.shell import guard

guard()

import streamlit as st

from core.registry.formatting import show_bytes
from core.store import RunRow, TrialRow
from pages.forms import adviser, sample_study
from pages.frame import charts, example_box, home, login, shell, studies
from pages.frame.text import md, plural, when, zone
from pages.run import panel
from pages.study import recommended, tradeoff_data

STEPS = (
    (":material/deployed_code:", "Pick a model", "A sample, a folder of yours or a hub id. See what it is made of."),
    (":material/tune:", "Sweep", "Prune it by several methods and amounts, calibrated once for all of them."),
    (":material/scatter_plot:", "Choose", "See quality against real size and latency, with the error of each."),
    (":material/download:", "Take it away", "The model you choose loads with plain transformers, anywhere."),
)


def main() -> None:
    panel.show_refusal()
    latest_six = studies.recent(6)
    if not latest_six:
        welcome()
        adviser.section()
        return
    st.title("Your studies", anchor=False)
    latest = next((r for r in latest_six if r.active), None)
    latest = latest or next((r for r in latest_six if r.trials_done), latest_six[0])
    panel.live(latest.id, study)
    others = [r for r in latest_six if r.id != latest.id]
    if others:
        st.header("Earlier", anchor=False)
        earlier(others)
    with st.container(horizontal=True):
        st.page_link(shell.path("sweep"), label="New sweep", icon=":material/add:")
        st.page_link(shell.path("runs"), label="All runs", icon=":material/list_alt:")
    adviser.section()


def welcome() -> None:
    st.title("Make a language model smaller, and see what it cost", anchor=False)
    st.markdown(
        "Retort prunes a model in many ways, measures each result the same way as the original, and shows what was "
        "lost and what was really gained.",
        width=760,
    )
    st.space("small")
    for number, (column, (icon, title, text)) in enumerate(zip(st.columns(4), STEPS, strict=True), start=1):
        with column, st.container(border=True, height="stretch"):
            st.caption(f"Step {number}")
            st.markdown(f"## {icon} {title}", anchors=False)
            st.markdown(text)
    st.space("small")
    example_box.offer(shell.path)
    first_study()


def first_study() -> None:
    settings = home.settings()
    recipe = sample_study.sample_study()
    assert recipe.sweep is not None
    needed = sample_study.missing(recipe, settings)
    with st.container(border=True):
        st.header("Run the sample study", anchor=False)
        many = plural(len(recipe.sweep.trials()), "candidate")
        st.markdown(
            f"SmolLM2-135M, a small chat model: {many} measured beside it, from zeroed weights to removed layers. "
            "It runs in the background; you can close this page and come back."
        )
        if needed:
            size = show_bytes(sum(s.download_bytes for s in needed))
            st.markdown(f"It first downloads {md(' and '.join(s.label for s in needed))}: {size}, once.")
        if login.button("run", "Run the sample study", type="primary", icon=":material/play_arrow:"):
            run_id = sample_study.start(recipe, settings)
            st.switch_page(shell.path("sweep"), query_params={"run": run_id})


def study(run: RunRow, trials: list[TrialRow]) -> None:
    """The newest study: its headline, its chart in small, and where to go from it."""
    with st.container(border=True):
        st.header(md(run.name), anchor=False)
        st.caption(md(run.model))
        panel.progress(run, trials)
        told = tradeoff_data.recommended(run)
        if told is not None:
            recommended.words(told, run, tradeoff_data.saved(run), level=3)
        drawn = tradeoff_data.overview(run, 360, least=2)
        if drawn is not None:
            st.plotly_chart(drawn.figure, theme=None, config=charts.STATIC, key="latest", alt=drawn.alt)
        with st.container(horizontal=True, vertical_alignment="center"):
            panel.tradeoffs_link(run)
            page = "sweep" if run.kind == "sweep" else "runs"
            st.page_link(shell.path(page), label="Open the run", icon=":material/tune:", query_params={"run": run.id})


def earlier(runs: list[RunRow]) -> None:
    where = zone(st.context.timezone)
    with st.container(border=True, gap="small"):
        for run in runs:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.page_link(shell.path("runs"), label=md(run.name, 80), query_params={"run": run.id})
                panel.badge(run)
                st.caption(f"{md(run.model, 80)}, {when(run.created, where)}", width="content")


main()
