"""Compare: what kept candidates write beside the model they were made from, and where they part from it."""

from pages.shared.shell import guard

guard()

import streamlit as st

from core.prompts import PROMPTS
from pages.shared import compare_models, compare_prompts, compare_tokens, compare_vote, compare_write, live_answer


def main() -> None:
    st.title("Compare", anchor=False)
    chosen = compare_models.choose()
    if chosen is None:
        return
    busy = live_answer.busy()
    prompt = st.text_area("Prompt", PROMPTS[0], key="compare-prompt", max_chars=8_000, height=80)
    compare_write.section(chosen, prompt, busy)
    if len(chosen.references) < 2:
        st.info("Choose a second model to see where the two part, token by token.", icon=":material/compare:")
        return
    compare_tokens.section(chosen, prompt, busy)
    compare_prompts.section(chosen, busy)
    compare_vote.section(chosen, busy)


main()
