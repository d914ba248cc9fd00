"""Compare: what kept candidates write beside the model they were made from, and where they part from it."""

from pages.shared.shell import guard

guard()

import streamlit as st

from pages.shared import compare_live, compare_models, compare_prompts, compare_tokens, compare_vote, compare_write

PROMPT = "The history of the lighthouse begins in"


def main() -> None:
    st.title("Compare", anchor=False)
    chosen = compare_models.choose()
    if chosen is None:
        return
    busy = compare_live.busy()
    prompt = st.text_area("Prompt", PROMPT, key="compare-prompt", max_chars=8_000, height=80)
    compare_write.section(chosen, prompt, busy)
    if len(chosen.references) < 2:
        st.info("Choose a second model to see where the two part, token by token.", icon=":material/compare:")
        return
    compare_tokens.section(chosen, prompt, busy)
    compare_prompts.section(chosen, busy)
    compare_vote.section(chosen, busy)


main()
