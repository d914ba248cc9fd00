"""Compare: candidates beside the model they were made from: what they write, or how they tell texts apart."""

from pages.frame.shell import guard

guard()

import streamlit as st

from core.base.errors import RetortError
from core.registry.prompts import PROMPTS
from pages.comparison import classes, models, prompt_list, prompts, saved, token_by_token, vote, write, writing
from pages.comparison.models import Chosen
from pages.frame import home, live_answer
from pages.frame.states import refused

_DOES = {
    "causal": "writes text",
    "masked": "fills gaps in a text",
    "classification": "tells classes apart",
    "seq2seq": "writes a target to a source",
}


def main() -> None:
    st.title("Compare", anchor=False)
    saved.open_address()
    chosen = models.choose()
    if chosen is None:
        return
    saved.forget_others(chosen)
    try:
        tasks = chosen.tasks()
    except RetortError as error:
        refused(error.cause, error.remedy)
        if home.store().comparisons.find(chosen.references):
            texts(chosen, busy=True)  # what was saved can still be read
        return
    if set(tasks) == {"classification"}:
        classes.sections(chosen, live_answer.busy())
    elif set(tasks) <= {"causal", "unknown"}:
        texts(chosen, live_answer.busy())
    else:
        unlike(chosen, tasks)


def texts(chosen: Chosen, busy: bool) -> None:
    """Models that write."""
    st.session_state.setdefault("compare-prompt", PROMPTS[0])
    prompt = st.text_area("Prompt", key="compare-prompt", max_chars=8_000, height=80)
    how = writing.widgets()
    write.section(chosen, prompt, how, busy)
    if len(chosen.references) < 2:
        st.info("Choose a second model to see where the two part, token by token.", icon=":material/compare:")
        return
    token_by_token.section(chosen, prompt, how, busy)
    st.header("On a list of prompts", anchor=False)
    wanted = prompt_list.choose()
    prompts.section(chosen, wanted, how, busy)
    vote.section(chosen, wanted, busy)
    saved.section(chosen)


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
