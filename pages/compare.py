"""Compare: candidates beside the model they were made from: what they write, or how they tell texts apart."""

from pages.frame.shell import guard

guard()

import streamlit as st

from core.base.errors import RetortError
from core.registry.prompts import PROMPTS
from pages.comparison import classes, models, prompts, token_by_token, vote, write
from pages.comparison.models import Chosen
from pages.frame import live_answer
from pages.frame.states import refused

_DOES = {"causal": "writes text", "masked": "fills gaps in a text", "classification": "tells classes apart"}


def main() -> None:
    st.title("Compare", anchor=False)
    chosen = models.choose()
    if chosen is None:
        return
    try:
        tasks = chosen.tasks()
    except RetortError as error:
        refused(error.cause, error.remedy)
        return
    if set(tasks) == {"classification"}:
        classes.sections(chosen, live_answer.busy())
    elif set(tasks) <= {"causal", "unknown"}:
        texts(chosen)
    else:
        unlike(chosen, tasks)


def texts(chosen: Chosen) -> None:
    """Models that write."""
    busy = live_answer.busy()
    prompt = st.text_area("Prompt", PROMPTS[0], key="compare-prompt", max_chars=8_000, height=80)
    write.section(chosen, prompt, busy)
    if len(chosen.references) < 2:
        st.info("Choose a second model to see where the two part, token by token.", icon=":material/compare:")
        return
    token_by_token.section(chosen, prompt, busy)
    prompts.section(chosen, busy)
    vote.section(chosen, busy)


def unlike(chosen: Chosen, tasks: list[str]) -> None:
    """Models of several kinds, or of one that gives neither texts nor classes."""
    pairs = zip(chosen.names, tasks, strict=True)
    kinds = "; ".join(f"{name[:1]} {_DOES.get(task, 'only encodes text')}" for name, task in pairs)
    st.info(
        f"{kinds}. Choose models that all write, or that all tell classes apart.",
        icon=":material/compare:",
        title="These cannot be compared with each other",
    )


main()
