"""Blind votes in the store: either order is the same pair, one vote a prompt, pairs kept apart."""

from __future__ import annotations

import pytest

from core.base.settings import Settings
from core.store import Store

A, B, C = "run:a", "sample:b", "path:/c"


def test_votes_are_counted_for_a_pair_in_either_order(home: Settings) -> None:
    votes = Store(home).votes
    assert votes.tally(A, B) == (0, 0, 0) and votes.prompts(A, B) == set()
    votes.add(A, B, "p1", A)
    votes.add(B, A, "p2", A)
    votes.add(A, B, "p3", B)
    votes.add(B, A, "p4", None)
    votes.add(A, C, "p1", C)
    assert votes.tally(A, B) == (2, 1, 1) and votes.tally(B, A) == (1, 2, 1)
    assert votes.tally(A, C) == (0, 1, 0) and votes.prompts(B, A) == {"p1", "p2", "p3", "p4"}
    assert Store(home).votes.tally(A, B) == (2, 1, 1), "they lie in the home"


def test_a_second_vote_on_a_prompt_takes_the_place_of_the_first(home: Settings) -> None:
    votes = Store(home).votes
    votes.add(A, B, "p", A)
    votes.add(B, A, "p", B)
    assert votes.tally(A, B) == (0, 1, 0)


def test_clearing_forgets_one_pair_only(home: Settings) -> None:
    votes = Store(home).votes
    votes.add(A, B, "p", A)
    votes.add(A, C, "p", A)
    votes.clear(B, A)
    assert votes.tally(A, B) == (0, 0, 0) and votes.tally(A, C) == (1, 0, 0)


@pytest.mark.parametrize(("first", "second", "preferred"), [(A, A, A), (A, B, C)])
def test_a_vote_that_means_nothing_is_refused(home: Settings, first: str, second: str, preferred: str) -> None:
    with pytest.raises(ValueError, match="two different models"):
        Store(home).votes.add(first, second, "p", preferred)
