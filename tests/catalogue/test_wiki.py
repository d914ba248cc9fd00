"""The sample text's split: every passage once, groups stay whole, nothing shared, always the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.base.settings import Settings
from core.catalogue.shingles import shingles
from core.catalogue.wiki import group_by_shared_text, read_part, split_documents
from core.registry.samples import TEXT_PARTS


def passages(count: int, words: int = 30, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(f"w{rng.randrange(100_000)}" for _ in range(words)) for _ in range(count)]


def test_every_passage_lands_in_exactly_one_part() -> None:
    texts = passages(400)
    parts = split_documents(texts)
    assert tuple(parts) == TEXT_PARTS
    assert sorted(t for part in parts.values() for t in part) == sorted(texts)
    shares = [len(parts[part]) / 400 for part in TEXT_PARTS]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.08)


def test_passages_that_share_a_sentence_stay_together() -> None:
    texts = passages(60)
    shared = " ".join(f"s{i}" for i in range(9))
    texts[3], texts[40] = f"{texts[3]} {shared}", f"{shared.upper()}! {texts[40]}"
    groups = group_by_shared_text(texts)
    assert groups[3] == [3, 40] and len(groups) == 59
    where = {text: part for part, found in split_documents(texts).items() for text in found}
    assert where[texts[3]] == where[texts[40]]


@given(st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_order_does_not_matter(rng: random.Random) -> None:
    texts = passages(40) + [p + " tail" for p in passages(5)]
    mixed = texts[:]
    rng.shuffle(mixed)
    first, second = split_documents(texts), split_documents(mixed)
    assert {k: sorted(v) for k, v in first.items()} == {k: sorted(v) for k, v in second.items()}


def test_shingles_count_runs_of_words() -> None:
    assert len(shingles("a b c d e", 3)) == 3
    assert shingles("One, two!", 5) == shingles("one two", 5) and len(shingles("one two", 5)) == 1
    assert shingles("...", 3) == set()
    assert len(shingles("春眠不覺曉", 2)) == 4  # no spaces: each character is a word


@pytest.mark.sample
def test_the_parts_of_the_sample_share_nothing(sample_home: Settings) -> None:
    found = {part: read_part(sample_home.samples / "wiki", part) for part in TEXT_PARTS}
    assert sum(map(len, found.values())) == 2938 and all(found.values())
    runs = {part: set().union(*(shingles(t, 8) for t in texts)) for part, texts in found.items()}
    assert not runs["calibration"] & runs["evaluation"]
    assert not runs["training"] & runs["evaluation"]
    assert not runs["training"] & runs["calibration"]
