"""Multiple choice against one option at a time, without batches or padding, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.base.progress import InMemoryReporter
from core.engine.evaluate.choice import choice_measurements, encode, option_scores
from core.engine.evaluate.tasks.items import Item, options
from core.registry.tasks import TASK_SETS

ITEMS = [
    options("Question: What fell on the roofs of the town?\nAnswer:", ["rain", "a lighthouse in 1834", "stones"], 0),
    options("Is the parcel heavy?\nAnswer:", ["no", "yes"], 1),
    options("The market opened ", ["as usual; then it closed again because it rained", "late"], 0),
    Item(("The river ran past the mill", "The mill ran past the river"), (" slowly.", " slowly."), (7, 7), 0),
]


@pytest.fixture(scope="module")
def loaded(tiny_llama: Path) -> tuple[Any, Any]:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama).double().eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.normal_(0.0, 0.3)
    return model, AutoTokenizer.from_pretrained(tiny_llama)


def one_by_one(model: Any, tokenizer: Any, context: str, continuation: str) -> float:
    """Sum of log-probabilities of the tokens the continuation adds to the context."""
    spaces = len(context) - len(context.rstrip(" \n"))
    if spaces:
        context, continuation = context[:-spaces], context[-spaces:] + continuation
    whole, before = tokenizer.encode(context + continuation), tokenizer.encode(context)
    with torch.no_grad():
        logits = model(torch.tensor([whole])).logits[0].numpy()
    total = 0.0
    for position in range(len(before), len(whole)):
        row = logits[position - 1]
        total += row[whole[position]] - row.max() - np.log(np.exp(row - row.max()).sum())
    return float(total)


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_padding_and_batches_never_change_a_score(loaded: tuple[Any, Any], batch: int) -> None:
    model, tokenizer = loaded
    found = option_scores(model, tokenizer, ITEMS, batch, InMemoryReporter())
    for item, scores in zip(ITEMS, found, strict=True):
        expected = [one_by_one(model, tokenizer, c, o) for c, o in zip(item.contexts, item.continuations, strict=True)]
        assert scores == pytest.approx(expected, abs=2e-5)


def test_accuracy_and_its_normalised_form_follow_from_the_scores(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    right, right_norm = [], []
    for item in ITEMS:
        scores = [one_by_one(model, tokenizer, c, o) for c, o in zip(item.contexts, item.continuations, strict=True)]
        per_character = [s / n for s, n in zip(scores, item.lengths, strict=True)]
        right.append(float(np.argmax(scores) == item.gold))
        right_norm.append(float(np.argmax(per_character) == item.gold))
    acc, norm = choice_measurements(model, tokenizer, TASK_SETS["arc_easy"], ITEMS, 2, InMemoryReporter())
    assert acc.samples == right and norm.samples == right_norm
    assert acc.value == np.mean(right) and norm.value == np.mean(right_norm)
    assert acc.settings["standard_error"] == pytest.approx(np.std(right, ddof=1) / 2)
    assert acc.settings["items"] == 4 and acc.settings["task"] == "arc_easy" and acc.settings["shots"] == 0


def test_options_with_one_input_are_computed_once(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    rows: list[int] = []
    handle = model.model.register_forward_pre_hook(
        lambda _, __, kwargs: rows.append(kwargs["input_ids"].shape[0]), with_kwargs=True
    )
    single = [options("Is it 7 or 8? It is ", ["7", "8"], 0)]
    inputs = {encode(tokenizer, c, o).tokens for c, o in zip(single[0].contexts, single[0].continuations, strict=True)}
    try:
        option_scores(model, tokenizer, single, 8, InMemoryReporter())
    finally:
        handle.remove()
    assert len(inputs) == 1 and rows[-1] == 1


def test_a_text_beyond_the_context_loses_its_start(loaded: tuple[Any, Any]) -> None:
    _, tokenizer = loaded
    whole = tokenizer.encode("one two three four five six seven eight")
    begins = len(tokenizer.encode("one two three four five six"))
    limit = len(whole) - begins + 2
    cut = encode(tokenizer, "one two three four five six", " seven eight", limit=limit)
    assert list(cut.tokens) == whole[-limit - 1 : -1] and begins > 3, "three tokens of the question are left"
    assert list(cut.targets) == whole[begins:]
