"""Report: a study as a page to hand on, and the same as slides, table and data."""

from pages.frame.shell import guard

guard()

from functools import partial
from typing import Any

import streamlit as st

from core.analysis.given_up import LOSS
from core.analysis.limits import bound_words
from core.analysis.removed import REMOVED
from core.base.errors import RetortError
from core.recipe.results import Result
from core.report.forms import FORMS
from core.report.model import HEADLINE, MOST, Report, build
from core.report.presented import presented
from core.report.write import render
from core.store import RunRow
from pages.frame import example_box, home, shell, studies
from pages.frame.states import refused
from pages.frame.text import flat, md
from pages.run.nothing_yet import nothing_yet
from pages.study import limits, presenter, recommended, report_settings, report_texts, selection
from pages.study.report_preview import document

_HEIGHT = 900


def main() -> None:
    presenting = shell.presenting()
    if not presenting:
        st.title("Report", anchor=False)
    runs = {r.id: r for r in studies.recent() if r.trials_done > 1}
    wanted = st.query_params.get("run")
    if wanted and wanted not in runs:
        runs = {wanted: home.store().runs.get(wanted), **runs}
    if not runs:
        nothing_yet(
            "Nothing to report yet",
            "A report is made from the candidates of a finished sweep: what was lost, and what was really gained.",
            ":material/summarize:",
        )
        example_box.offer(shell.path)
        return
    if presenting:
        slides(runs)
        return
    made = choose(runs)
    if made is not None:
        st.iframe(document(made), height=_HEIGHT, alt="The report as it is downloaded")


def choose(runs: dict[str, RunRow]) -> Report | None:
    """The controls; None where what they say makes no report."""
    ids = list(runs)
    wanted = st.query_params.get("run", "")
    chosen = st.selectbox(
        "Study",
        ids,
        index=ids.index(wanted) if wanted in ids else 0,
        width=560,
        on_change=forget,
        format_func=lambda i: studies.label(runs[i]),
    )
    st.query_params["run"] = chosen
    results = home.store().candidates.results(run_id=chosen)
    candidates = {r.key: r for r in results if not r.baseline}
    keys = picker(candidates)
    report_texts.choose(runs[chosen], candidates)
    try:
        made = report_texts.added(settings(runs[chosen], results, keys))
    except RetortError as error:
        refused(error.cause, error.remedy)
        return None
    report_texts.say_what_is_gone(made)
    downloads(made)
    return made


def forget() -> None:
    """Another study has other candidates."""
    st.query_params.pop("pick", None)
    st.session_state.pop("report_picks", None)
    report_texts.forget()


def picker(candidates: dict[str, Result]) -> list[str]:
    by_short = {selection.short(k): k for k in candidates}
    now = [by_short[s] for s in st.query_params.get_all("pick") if s in by_short][:MOST]
    keys = st.multiselect(
        "Candidates",
        list(candidates),
        default=now,
        key="report_picks",
        max_selections=MOST,
        format_func=lambda k: flat(candidates[k].label),
        placeholder="Those the recommendation names, until you choose",
    )
    if keys:
        st.query_params["pick"] = [selection.short(k) for k in keys]
    else:
        st.query_params.pop("pick", None)
    return keys


def settings(run: RunRow, results: list[Result], keys: list[str]) -> Report:
    """Reader, prices, headline and look; all of them stay in the address."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        told: dict[str, Any] = {"audience": report_settings.reader(), "prices": report_settings.prices()}
    told |= looked_at()
    headline = st.text_area(
        "Headline",
        key="headline",
        bind="query-params",
        max_chars=HEADLINE,
        placeholder=presented(build(run, results, keys, **told)).headline,
        help="Leave it empty for the proposal shown.",
    )
    brand = report_settings.branded(**report_settings.look())
    made = build(run, results, keys, headline=headline, brand=brand, **told)
    if made.limits:
        with st.container(horizontal=True, vertical_alignment="center"):
            kept = "; ".join(bound_words(m, limit) for m, limit in made.limits)
            st.caption(f":material/rule: Limits from the Trade-offs page: {md(kept, 400)}.", width="content")
            st.button("Leave them out", on_click=limits.forget, type="tertiary")
    return made


def looked_at() -> dict[str, Any]:
    """Axes and limits of the address, as the Trade-offs page has them."""
    x, y = (st.query_params.get(name) for name in ("x", "y"))
    axes = (x or REMOVED, y or LOSS) if x or y else None
    return {"axes": axes, "limits": limits.told(), "share": recommended.share()}


def downloads(made: Report) -> None:
    with st.container(horizontal=True):
        for form, (label, media) in FORMS.items():
            st.download_button(
                label,
                partial(render, made, form),
                f"report-{made.run.id}.{form}",
                media,
                icon=":material/download:",
                on_click="ignore",
                key=f"download-{form}",
            )
        st.button(
            "Present",
            icon=":material/slideshow:",
            on_click=lambda: st.query_params.update(present="1", slide="1"),
            help="Large slides, one idea each; arrow keys move. The address carries the choice and the slide.",
        )


def slides(runs: dict[str, RunRow]) -> None:
    """The report slide by slide, as the address describes it."""
    query = st.query_params
    run = runs.get(query.get("run", "")) or next(iter(runs.values()))
    try:
        results = home.store().candidates.results(run_id=run.id)
        told = report_settings.of_address() | looked_at()
        made = build(run, results, query.get_all("pick"), headline=query.get("headline", ""), **told)
        presenter.show(report_texts.added(made))
        return
    except ValueError:
        refused(
            "A price or amount in this address is not a number that can be.",
            "Go back and set them again.",
        )
    except RetortError as error:
        refused(error.cause, error.remedy)
    st.button("Back to the report's settings", icon=":material/arrow_back:", on_click=presenter.leave)


main()
