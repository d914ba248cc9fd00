"""The multiple-choice tasks Retort scores, with zero-shot prompts as lm-evaluation-harness 0.4 words them.

A new task is one function here and one line in `core.registry.tasks`, by which pages and recipes know it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from core.engine.evaluate.tasks.items import Item, options

Record = Mapping[str, Any]


def hellaswag(r: Record) -> Item:
    context = f"{r['activity_label']}: {r['ctx_a']} {r['ctx_b'].capitalize()}"
    return options(_without_brackets(context), [_without_brackets(e) for e in r["endings"]], int(r["label"]))


def _without_brackets(text: str) -> str:
    """Removes the marks that HellaSwag's WikiHow half is left with, such as '[title]'."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def arc(r: Record) -> Item:
    choices = r["choices"]
    return options(f"Question: {r['question']}\nAnswer:", choices["text"], choices["label"].index(r["answerKey"]))


def piqa(r: Record) -> Item:
    return options(f"Question: {r['goal']}\nAnswer:", [r["sol1"], r["sol2"]], int(r["label"]))


def boolq(r: Record) -> Item:
    return options(f"{r['passage']}\nQuestion: {r['question']}?\nAnswer:", ["no", "yes"], int(r["answer"]))


def sciq(r: Record) -> Item:
    context = f"{r['support'].lstrip()}\nQuestion: {r['question']}\nAnswer:"
    return options(context, [r["distractor1"], r["distractor2"], r["distractor3"], r["correct_answer"]], 3)


def winogrande(r: Record) -> Item:
    """The options fill the gap in the context; the rest of the sentence is what is scored."""
    before, _, after = r["sentence"].partition("_")
    names = (r["option1"], r["option2"])
    rest = after.strip()
    return Item(
        contexts=tuple(before + name for name in names),
        continuations=(f" {rest}",) * 2,
        lengths=(len(rest),) * 2,
        gold=("1", "2").index(r["answer"]),
    )


def openbookqa(r: Record) -> Item:
    choices = r["choices"]
    return options(r["question_stem"], choices["text"], choices["label"].index(r["answerKey"].lstrip()))


def copa(r: Record) -> Item:
    """Two spaces join context and option, as the harness has it."""
    joint = {"cause": "because", "effect": "therefore"}[r["question"]]
    choices = [f" {c[0].lower()}{c[1:]}" for c in (r["choice1"], r["choice2"])]
    return options(f"{r['premise'].strip()[:-1]} {joint}", choices, int(r["label"]))


def sst2(r: Record) -> Item:
    context = f"{r['sentence']}\nQuestion: Is this sentence positive or negative?\nAnswer:"
    return options(context, ["negative", "positive"], int(r["label"]))
