"""Windows: which tokens they hold, that they never overlap, and what is said when there is too little text."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from core.base.errors import RetortError
from core.engine.data.framing import special_frame
from core.engine.data.windows import calibration_windows, evaluation_windows, overlap


@pytest.fixture(scope="module")
def tokenizer(tiny_llama: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_llama)


@pytest.fixture(scope="module")
def documents(tiny_text: str) -> list[str]:
    return tiny_text.split("\n\n")


@pytest.fixture(scope="module")
def ids(tokenizer: Any, tiny_text: str) -> list[int]:
    return list(tokenizer(tiny_text, verbose=False)["input_ids"])


@pytest.fixture(scope="module")
def bert_like(tiny_llama: Path) -> Any:
    """The same tokenizer, with a start and an end token around every text."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A <|endoftext|>", special_tokens=[("<|endoftext|>", 0)]
    )
    return tokenizer


@pytest.mark.parametrize(("tokens", "window"), [(64, 64), (1000, 128), (1024, 128), (4096, 7 * 16)])
def test_evaluation_windows_lie_evenly_over_the_text(
    documents: list[str], tokenizer: Any, ids: list[int], tokens: int, window: int
) -> None:
    found = evaluation_windows(documents, tokenizer, tokens, window)
    count, slots = tokens // window, len(ids) // window
    assert found.shape == (count, window) and found.dtype == torch.int64
    starts = places(found, ids)
    assert all(s % window == 0 and s < slots * window for s in starts), "whole windows from the start of the text"
    gaps = {b - a for a, b in itertools.pairwise(starts)}
    assert not gaps or max(gaps) - min(gaps) <= window and min(gaps) >= slots // count * window
    before, after = starts[0], slots * window - starts[-1] - window
    assert abs(before - after) <= window, "as much is left at the start as at the end"


def test_text_that_is_just_enough_is_read_from_end_to_end(documents: list[str], tokenizer: Any, ids: list[int]) -> None:
    count = len(ids) // 96
    found = evaluation_windows(documents, tokenizer, count * 96, 96)
    assert found.flatten().tolist() == ids[: count * 96]


def test_evaluation_can_use_all_tokens_but_no_more(documents: list[str], tokenizer: Any, ids: list[int]) -> None:
    total = len(ids)
    assert evaluation_windows(documents, tokenizer, total, total).tolist() == [ids]
    with pytest.raises(RetortError, match=f"has {total:,} tokens, and 1 windows of {total + 1} need {total + 1:,}"):
        evaluation_windows(documents, tokenizer, total + 1, total + 1)


def test_evaluation_of_less_than_a_window_is_refused(documents: list[str], tokenizer: Any) -> None:
    with pytest.raises(RetortError, match="do not fill one window"):
        evaluation_windows(documents, tokenizer, 100, 128)


def test_every_window_carries_the_tokenizers_own_frame(
    documents: list[str], bert_like: Any, tokenizer: Any, ids: list[int]
) -> None:
    assert special_frame(tokenizer) == ((), ()) and special_frame(bert_like) == ((0,), (0,))
    found = evaluation_windows(documents, bert_like, 256, 64)
    assert found.shape == (4, 64) and set(found[:, 0].tolist()) == set(found[:, -1].tolist()) == {0}
    assert all(row in [ids[i : i + 62] for i in range(0, len(ids), 62)] for row in found[:, 1:-1].tolist())
    framed = calibration_windows(documents, bert_like, 4, 64, 0)
    assert framed.shape == (4, 64) and set(framed[:, 0].tolist()) == set(framed[:, -1].tolist()) == {0}


def places(windows: torch.Tensor, ids: list[int]) -> list[int]:
    """Where each window starts in the text (the text numbers its sentences, so 64 tokens are unique)."""
    length = windows.shape[1]
    where = {tuple(ids[i : i + length]): i for i in range(len(ids) - length + 1)}
    return [where[tuple(row)] for row in windows.tolist()]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sequences", [6, 17, 60, 80])
def test_calibration_windows_do_not_overlap(
    documents: list[str], tokenizer: Any, ids: list[int], seed: int, sequences: int
) -> None:
    found = calibration_windows(documents, tokenizer, sequences, 200, seed)
    assert found.shape == (sequences, 200) and found.dtype == torch.int64
    starts = sorted(places(found, ids))
    assert all(b - a >= 200 for a, b in itertools.pairwise(starts))


def test_calibration_follows_the_seed(documents: list[str], tokenizer: Any) -> None:
    first, again, other = (calibration_windows(documents, tokenizer, 8, 64, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_calibration_of_a_short_text_overlaps_but_never_repeats(documents: list[str], tokenizer: Any) -> None:
    short = documents[:6]
    total = len(tokenizer("\n\n".join(short), verbose=False)["input_ids"])
    found = calibration_windows(short, tokenizer, 20, total - 30, 0)
    assert len({tuple(row) for row in found.tolist()}) == 20


def test_calibration_of_a_too_short_text_says_what_is_there_and_needed(documents: list[str], tokenizer: Any) -> None:
    total = len(tokenizer(documents[0], verbose=False)["input_ids"])
    with pytest.raises(RetortError, match=rf"has {total} tokens, and 4 windows of 500 need 503\."):
        calibration_windows(documents[:1], tokenizer, 4, 500, 0)


def test_a_long_corpus_is_sampled_not_tokenised_whole(tokenizer: Any) -> None:
    """Random documents of a long corpus: windows come from all over it, not from its start."""
    corpus = [f"document {i} " + "word " * 40 for i in range(20_000)]
    read = calibration_windows(corpus, tokenizer, 8, 64, 0), evaluation_windows(corpus, tokenizer, 8 * 64, 64)
    for found in read:
        numbers = [int(n) for row in found for n in tokenizer.decode(row).split() if n.isdigit() and len(n) > 3]
        assert numbers and max(numbers) > 10_000


def test_empty_and_tiny_windows_are_refused(documents: list[str], bert_like: Any) -> None:
    with pytest.raises(RetortError, match="too short to hold text"):
        evaluation_windows(documents, bert_like, 64, 3)


def test_overlap_counts_shared_runs() -> None:
    words = [f"w{i}" for i in range(200)]
    whole = " ".join(words)
    assert overlap([whole], [whole.upper()]) == 1.0
    assert overlap([whole], ["nothing of it at all"]) == 0.0
    # The second half: 100 words hold 88 runs of 13, out of the 188 of the whole.
    assert overlap([whole], [" ".join(words[100:])]) == pytest.approx(88 / 188)
    assert overlap(["one, two three"], ["One two; three!"]) == 1.0
    assert overlap([], [whole]) == 0.0
    # Runs do not cross documents.
    assert overlap([" ".join(words[:20])], [" ".join(words[:10]), " ".join(words[10:20])]) == 0.0


@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=25), max_size=4), st.lists(st.sampled_from("abc"), max_size=60)
)
def test_overlap_equals_its_definition(evaluation: list[list[str]], calibration: list[str]) -> None:
    def runs(document: list[str]) -> set[tuple[str, ...]]:
        if len(document) <= 13:
            return {tuple(document)} if document else set()
        return {tuple(document[i : i + 13]) for i in range(len(document) - 12)}

    asked = set().union(*map(runs, evaluation))
    expected = len(asked & runs(calibration)) / len(asked) if asked else 0.0
    assert overlap([" ".join(d) for d in evaluation], [" ".join(calibration)]) == pytest.approx(expected)
