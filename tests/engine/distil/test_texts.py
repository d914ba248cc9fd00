"""From texts to sequences: every token once, only answers counted, classes by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from core.base.errors import RetortError
from core.engine.distil.batch_sampler import Order
from core.engine.distil.batches import IGNORED, Answers, MaskedWindows, Windows
from core.engine.distil.packing import Stream, pack, packed
from core.engine.distil.texts import conversation, conversations, labelled

TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }}\n{{ m['content'] }}<|endoftext|>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
TALK = [
    {"role": "user", "content": "How old is the mill?"},
    {"role": "assistant", "content": "Very old."},
    {"role": "user", "content": "And the town?"},
    {"role": "assistant", "content": "Older."},
]


@pytest.fixture
def tokenizer(tiny_llama: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_llama)


def test_packing_keeps_every_token_in_order(tokenizer: Any) -> None:
    texts = ["The river ran slowly.", "", "Rain fell on the roofs of the town until morning."]
    stream = [i for text in texts for i in tokenizer(text + "\n\n")["input_ids"]]
    windows = packed(texts, tokenizer, 7)
    assert windows.flatten().tolist() == stream[: len(stream) // 7 * 7]


def test_packing_reads_no_further_than_it_must(tokenizer: Any) -> None:
    read: list[int] = []

    def texts() -> Iterator[str]:
        for i in range(100):
            read.append(i)
            yield "The council bought the island and built a small harbour."

    windows = pack(texts(), tokenizer, 16)
    next(windows)
    assert len(read) <= 2


def test_too_little_text_is_refused(tokenizer: Any) -> None:
    with pytest.raises(RetortError, match="fills no window"):
        packed(["short"], tokenizer, 64)


def test_a_stream_can_skip_ahead_but_not_invent(tokenizer: Any, tiny_text: str) -> None:
    windows = packed([tiny_text], tokenizer, 16)
    stream = Stream([tiny_text], tokenizer, 16)
    assert torch.equal(stream.take([0, 1], 0).ids, windows[:2])
    assert torch.equal(stream.take([7], 0).ids, windows[7:8])
    with pytest.raises(RetortError, match="ended before"):
        stream.take([10**6], 0)


def test_the_targets_are_the_next_tokens(tokenizer: Any, tiny_text: str) -> None:
    windows = packed([tiny_text], tokenizer, 16)
    batch = Windows(windows).take([2], 0)
    assert batch.targets[0, :-1].tolist() == windows[2, 1:].tolist()
    assert batch.targets[0, -1] == IGNORED and batch.scored.sum() == 15


@pytest.mark.parametrize("template", [TEMPLATE, None])
def test_only_the_answers_count(template: str | None, tokenizer: Any) -> None:
    tokenizer.chat_template = template
    ids, counted = conversation(TALK, tokenizer, 500)
    if template:
        whole = tokenizer.apply_chat_template(TALK, tokenize=False)
        assert tokenizer.decode(ids) == whole
    assert tokenizer.decode(ids[counted]) == "Very old.<|endoftext|>Older.<|endoftext|>"
    assert bool(conversation(TALK, tokenizer, 500, count_prompt=True)[1].all())


def test_the_batch_learns_exactly_the_answers(tokenizer: Any) -> None:
    tokenizer.chat_template = TEMPLATE
    rows = conversations([TALK, TALK[:2]], tokenizer, 500)
    batch = Answers(rows, padding=0).take([0, 1], 0)
    assert tokenizer.decode(batch.targets[1][batch.targets[1] != IGNORED]) == "Very old.<|endoftext|>"
    assert not bool((batch.scored & ~batch.attended).any())


def test_a_template_that_rewrites_earlier_turns_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ messages | length }} turns. " + TEMPLATE
    with pytest.raises(RetortError, match="changes earlier turns"):
        conversation(TALK, tokenizer, 500)


def test_answers_beyond_the_length_are_left_out(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    with pytest.raises(RetortError, match="None of 1 conversations has an answer"):
        conversations([TALK], tokenizer, 5)


def test_labels_by_name(tokenizer: Any) -> None:
    data = labelled(["a mill", "a town and a river"], ["town", "mill"], ["mill", "town"], tokenizer, 32)
    batch = data.take([1, 0], 0)
    assert batch.targets.tolist() == [[0], [1]] and batch.scored.tolist() == [[True], [True]]
    assert batch.attended.sum(1).tolist() == [len(tokenizer(t)["input_ids"]) for t in ("a town and a river", "a mill")]
    with pytest.raises(RetortError, match="does not know these labels: lake"):
        labelled(["x"], ["lake"], ["mill", "town"], tokenizer, 32)
    with pytest.raises(RetortError, match="empty"):
        labelled([], [], ["mill", "town"], tokenizer, 32)


def test_masked_words_are_the_only_targets_and_drawn_by_the_seed() -> None:
    data = MaskedWindows(torch.arange(10, 10 + 40 * 50).view(40, 50), mask_token=3)
    batch = data.take(range(40), 5)
    hidden = batch.ids == 3
    assert torch.equal(batch.targets != IGNORED, hidden)
    assert torch.equal(torch.where(hidden, batch.targets, batch.ids), data.ids)
    assert 0.12 < float(hidden.float().mean()) < 0.18 and bool(batch.scored.all())
    assert torch.equal(data.take(range(40), 5).ids, batch.ids)
    assert not torch.equal(data.take(range(40), 6).ids, batch.ids)


def test_each_epoch_reads_everything_once_in_another_order() -> None:
    order = Order(Windows(torch.zeros(13, 4, dtype=torch.long)), held_out=3, batch=4, seed=0)
    drawn = [int(i) for step in range(5) for i in order.step(step).index]
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(3, 13)) and drawn[:10] != drawn[10:]
    again = Order(order.examples, 3, 4, 0)
    assert again.step(3).index.tolist() == drawn[12:16], "a resumed run reads the same"
    halves = [order.step(2, rank, 2).index.tolist() for rank in (0, 1)]
    assert sorted(halves[0] + halves[1]) == sorted(drawn[8:12])
    with pytest.raises(RetortError, match="held out"):
        Order(order.examples, 13, 4, 0)
