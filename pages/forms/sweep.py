"""The form of a sweep: every choice is a widget bound to the URL, and all of them together a recipe."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from core.base.errors import RetortError
from core.catalogue.anatomy import Anatomy
from core.recipe.check import RecipeError, check_recipe
from core.recipe.heal import heals
from core.recipe.recipe import Recipe
from core.registry.methods import METHODS, Method
from core.registry.tasks import TASK_SETS
from pages.forms import look, own_tests
from pages.frame.text import md

PATTERNS = {"unstructured": "Anywhere", "2:4": "2 of every 4", "4:8": "4 of every 8"}
MODES = {"joint": "Joint: one pass for all candidates", "sequential": "Sequential: as published, a pass for each"}
KEEP = {"structured": "The really smaller ones", "all": "All of them", "none": "None"}
HEALS = {"closed-form": "Healed", "none": "As cut"}
CORPORA = ["sample:wiki"]
URL: Final = "query-params"


def form(reference: str, found: Anatomy) -> dict[str, Any]:
    """Draws the form and returns the recipe's data, unchecked."""
    grid: list[dict[str, Any]] = []
    with st.container(border=True):
        st.header("Only zero weights", anchor=False)
        grid += weights()
    with st.container(border=True):
        st.header("Really smaller", anchor=False)
        st.caption("Parts are taken out, so the model has fewer parameters, bytes and steps.")
        grid += parts(found)
    with st.container(border=True):
        st.header("Texts", anchor=False)
        calibration, evaluation = texts(found.shape.context)
        evaluation |= own_tests.section(found.shape.task)
    with st.expander("More: seeds, mode, latency, what is kept", icon=":material/settings:"):
        more, latency, keep = extras()
    for block in grid:
        block |= more
    return {
        "model": reference,
        "calibration": calibration,
        "evaluation": evaluation,
        "latency": latency,
        "sweep": {"keep": keep, "grid": grid},
    }


def checked(data: dict[str, Any]) -> Recipe:
    """The recipe, checked exactly as a file of it would be.

    Raises:
        RetortError: what is wrong with it, all of it.
    """
    if not data["sweep"]["grid"]:
        raise RetortError("Nothing is chosen to be pruned.", "Choose at least one method and an amount for it.")
    try:
        return check_recipe(data)
    except RecipeError as error:
        said = "; ".join(p.rstrip(".") for p in error.problems)
        raise RetortError(f"These choices cannot be run: {said}.", "Change them; nothing was started.") from None


def weights() -> list[dict[str, Any]]:
    methods = [m for m in METHODS.values() if not m.structured]
    chosen = _methods("Methods that zero weights", methods, "weights", ["magnitude", "wanda"])
    if not chosen:
        return []
    amounts = st.multiselect(
        "Sparsities, %",
        [str(p) for p in range(10, 100, 10)],
        default=["20", "30", "50", "60"],
        key="sparsity",
        bind=URL,
        accept_new_options=True,
        help="Share of the weights set to zero. Type any other number below 100.",
    )
    patterns = st.multiselect(
        "Where the zeros may be",
        list(PATTERNS),
        default=["unstructured"],
        key="pattern",
        bind=URL,
        format_func=PATTERNS.__getitem__,
        help="2 of every 4 weights kept is a pattern that some GPUs can use. Patterns fix the sparsity themselves.",
    )
    if not patterns or ("unstructured" in patterns and not amounts):
        return []
    block: dict[str, Any] = {"method": chosen, "pattern": list(patterns)}
    if "unstructured" in patterns:
        block["sparsity"] = [_fraction(a) for a in amounts]
    return [block]


def parts(found: Anatomy) -> list[dict[str, Any]]:
    structured = [m for m in METHODS.values() if m.structured and (m.family != "experts" or found.shape.experts)]
    depth = [m for m in structured if m.family == "depth"]
    width = [m for m in structured if m.family != "depth"]
    blocks: list[dict[str, Any]] = []
    if chosen := _methods("Methods that remove layers", depth, "depth", ["block_influence"]):
        layers = found.shape.layers or len(found.layers)
        most = [str(n) for n in range(1, max(2, layers))]
        usual = [n for n in ("2", "4", "6") if n in most] or most[:1]
        counts = st.multiselect(
            f"Layers to remove, of {layers}",
            most,
            default=usual,
            key="layers",
            bind=URL,
        )
        if counts:
            blocks.append({"method": chosen, "target": [{"remove_layers": int(c)} for c in counts]})
    if width and (chosen := _methods("Methods that narrow layers", width, "width", [])):
        shares = st.multiselect(
            "Parameters to remove from the layers, %",
            ["10", "20", "30", "40", "50"],
            default=["10", "20"],
            key="share",
            bind=URL,
            accept_new_options=True,
        )
        if shares:
            blocks.append({"method": chosen, "target": [{"block_fraction": _fraction(s)} for s in shares]})
    healable = [block for block in blocks if any(heals(m) for m in block["method"])]
    rest = [block for block in blocks if block not in healable]
    return [*(block | {"heal": how} for how in (healing() if healable else []) for block in healable), *rest]


def healing() -> list[str]:
    """Whether candidates are healed, left as cut, or both, each a candidate of its own."""
    return st.multiselect(
        "After parts are taken out",
        list(HEALS),
        default=["closed-form"],
        key="heal",
        bind=URL,
        format_func=HEALS.__getitem__,
        help="Healed: the matrices that read the missing parts are solved again on the calibration text, so that each "
        "layer gives what it gave. It takes no training, and changes neither size nor speed. Choose both to compare.",
    )


def _methods(label: str, methods: list[Method], key: str, default: list[str]) -> list[str]:
    """Pills of methods, and under them one line for each chosen one."""
    by_id = {m.id: m for m in methods}
    chosen = st.multiselect(
        label,
        list(by_id),
        default=[d for d in default if d in by_id],
        key=key,
        bind=URL,
        format_func=lambda m: by_id[m].label,
    )
    for m in chosen:
        st.caption(f"**{by_id[m].label}.** {md(by_id[m].summary)} {md(by_id[m].source)}.")
    return list(chosen)


def texts(context: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
    longest = context or 131_072
    left, right = st.columns(2, gap="medium")
    with left:
        data = _corpus("Calibration text", "cal", "The statistics that choose what to remove are gathered on it.")
        sequences = st.number_input("Sequences", 1, 100_000, 32, key="sequences", bind=URL)
        length = st.number_input("Tokens in each", 8, longest, min(256, longest), key="length", bind=URL)
    with right:
        other = _corpus(
            "Evaluation text", "eval", "Quality is measured on it. It must not overlap the calibration text."
        )
        tokens = st.number_input("Tokens", 16, 1_000_000_000, 8_192, step=1_024, key="tokens", bind=URL)
        window = st.number_input("Tokens in each window", 8, longest, min(512, longest), key="window", bind=URL)
    calibration = data | {"sequences": sequences, "length": length}
    return calibration, other | {"tokens": tokens, "window": window} | tasks()


def tasks() -> dict[str, Any]:
    """Question sets every candidate answers too; nothing where none is chosen."""
    left, right = st.columns(2, gap="medium")
    chosen = left.multiselect(
        "Tasks",
        list(TASK_SETS),
        key="tasks",
        bind=URL,
        format_func=lambda t: TASK_SETS[t].label,
        placeholder="None",
        help="Multiple-choice questions, answered by likelihood. They need the evaluation sets: "
        "'python -m core fetch tasks', or Fetch on the Model page.",
    )
    if not chosen:
        return {}
    with right:
        items = own_tests.questions_each()
    return {"tasks": list(chosen), "items": items}


def _corpus(label: str, key: str, text: str) -> dict[str, Any]:
    """A corpus; the sample's split is fixed by its use, so that the two never overlap."""
    taken_over = st.session_state.get(key)
    chosen = st.selectbox(
        label,
        CORPORA if taken_over in (None, *CORPORA) else [*CORPORA, taken_over],
        key=key,
        bind=URL,
        accept_new_options=True,
        help=f"{text} Also path: a file, a folder or a pattern (text, CSV, JSON, Parquet), and hub:organisation/name.",
    )
    if chosen == "sample:wiki":
        return {"data": chosen, "split": "calibration" if key == "cal" else "evaluation"}
    split = st.text_input("Split", key=f"{key}-split", bind=URL, placeholder="train", help="For hub data sets.")
    column = st.text_input("Column", key=f"{key}-column", bind=URL, placeholder="text", help="For tables.")
    look.at(chosen or "", column)
    return {"data": chosen or ""} | {"split": split or None} | ({"columns": {"text": column}} if column else {})


def extras() -> tuple[dict[str, Any], dict[str, Any] | None, str]:
    """Seeds and mode of every block, the latency settings (None: not measured), and which models stay on disk."""
    seeds = st.multiselect(
        "Seeds",
        ["0", "1", "2", "3", "4"],
        default=["0"],
        key="seeds",
        bind=URL,
        accept_new_options=True,
        help="Every candidate is made again with each seed.",
    )
    mode = st.radio("Statistics", list(MODES), key="mode", bind=URL, format_func=MODES.__getitem__)
    keep = st.radio("Models kept on disk", list(KEEP), key="keep", bind=URL, format_func=KEEP.__getitem__)
    latency: dict[str, Any] | None = None
    if st.toggle("Measure latency", value=True, key="latency", bind=URL):
        a, b, c = st.columns(3)
        latency = {
            "prompt": a.number_input("Prompt tokens", 1, 131_072, 64, key="prompt", bind=URL),
            "new_tokens": b.number_input("New tokens", 2, 8_192, 8, key="new", bind=URL),
            "repeats": c.number_input("Repeats", 1, 1_000, 5, key="repeats", bind=URL),
        }
    return {"seeds": [_whole(s) for s in seeds] or [0], "mode": mode}, latency, keep or "structured"


def _fraction(text: str) -> float | str:
    """'55' or '55 %' as 0.55; what is no number stays as typed, for the recipe's check to name it."""
    try:
        return round(float(text.strip().removesuffix("%").replace(",", ".")) / 100, 6)
    except ValueError:
        return text


def _whole(text: str) -> int | str:
    try:
        return int(text.strip())
    except ValueError:
        return text
