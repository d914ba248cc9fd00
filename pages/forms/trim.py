"""The form of a smaller vocabulary: which texts' tokens stay, and whether the original then teaches the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import streamlit as st

from core.base.errors import RetortError
from core.catalogue.anatomy import Anatomy
from core.jobs import actions
from core.recipe.check import check_recipe
from core.recipe.recipe import Recipe
from core.registry.formatting import percent, show_count
from pages.forms import sample_study
from pages.frame import home, login
from pages.frame.states import refused

URL: Final = "query-params"
_LENGTH = 512  # tokens of each sequence it learns from, where the model reads as many
_MEASURED = ("calibration", "evaluation", "latency")


def section(reference: str, found: Anatomy, sweep: Mapping[str, Any], opened: Callable[[str], None]) -> None:
    """An expander with the form; what is measured, and how, is taken from the form of the sweep.

    Args:
        opened: told the run that was started.
    """
    with st.expander("A smaller vocabulary", icon=":material/dictionary:"):
        st.caption(_explained(found))
        data = _form(reference, sweep, found.shape.context)
        try:
            recipe = check_recipe(data)
            actions.check_recipe(recipe, home.settings())
        except RetortError as error:
            refused(error.cause, error.remedy)
            st.button("Trim the vocabulary", disabled=True)
            return
        if login.button("run", "Trim the vocabulary", icon=":material/play_arrow:"):
            opened(_start(recipe))


def _explained(found: Anatomy) -> str:
    words = (found.shape.vocab or 0) * (found.shape.hidden or 0)
    share = f" ({percent(words / found.parameters)} of its parameters)" if found.parameters and words else ""
    return (
        f"Every token has a row in the embeddings: {show_count(words)} numbers{share}. Tokens that your texts never "
        "use can go. What stays are the tokens that stand in the texts you name, special tokens, and what the "
        "tokenizer needs to write any text: other texts can still be read, in more tokens. The result says how much "
        "of the evaluation text is cut as before. Its perplexity is that of the same text for each token of the "
        "original, with bits per byte beside it: a loss for each token of its own would be another unit."
    )


def _form(reference: str, sweep: Mapping[str, Any], context: int | None) -> dict[str, Any]:
    chosen = st.selectbox(
        "Texts whose tokens stay",
        ["sample:wiki"],
        key="trim-text",
        bind=URL,
        accept_new_options=True,
        help="Name texts like those the model will read, and not the evaluation text. path:/folder/file.txt (or .csv, "
        ".jsonl, .parquet) or hub:organisation/name.",
    )
    texts: dict[str, Any] = {"data": chosen or "", "split": "training"}
    if chosen != "sample:wiki":
        a, b = st.columns(2)
        split = a.text_input("Split", key="trim-split", bind=URL, placeholder="train", help="For hub data sets.")
        column = b.text_input("Column", key="trim-column", bind=URL, placeholder="text", help="For tables.")
        texts |= {"split": split or None} | ({"column": column} if column else {})
    a, b = st.columns(2)
    floor = a.number_input("A token stays if it is seen", 1, 1_000_000, 1, key="trim-floor", bind=URL, help="Times.")
    minutes = b.number_input(
        "Then taught by the original, minutes",
        0,
        100_000,
        0,
        key="trim-minutes",
        bind=URL,
        help="The original teaches it over the tokens that both have, on the same texts. 0: not at all.",
    )
    steps: list[dict[str, Any]] = [{"step": "trim", "texts": [texts], "floor": floor}, *_judged()]
    if minutes:
        learnt = {**texts, "length": min(_LENGTH, context or _LENGTH)}
        teaches = {"step": "distil", "losses": [{"loss": "logit_kl"}], "data": learnt, "budget": {"minutes": minutes}}
        steps += [teaches, *_judged()]
    return {"model": reference, **{k: sweep[k] for k in _MEASURED if k in sweep}, "steps": steps}


def _judged() -> list[dict[str, Any]]:
    return [{"step": "evaluate"}, {"step": "measure"}]


def _start(recipe: Recipe) -> str:
    return sample_study.start(recipe, home.settings())
