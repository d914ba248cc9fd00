"""The sign test against every possible sequence of votes, and the sentences it gives."""

from itertools import product

import pytest

from core.analysis.votes import sign_test, verdict


@pytest.mark.parametrize("votes", range(1, 11))
def test_sign_test_counts_every_sequence_at_least_as_uneven(votes: int) -> None:
    wins = [sum(sequence) for sequence in product((0, 1), repeat=votes)]
    for first in range(votes + 1):
        seen = abs(2 * first - votes)
        expected = sum(abs(2 * won - votes) >= seen for won in wins) / len(wins)
        assert sign_test(first, votes - first) == pytest.approx(expected, abs=1e-15)


def test_no_votes_show_nothing_and_negative_counts_are_refused() -> None:
    assert sign_test(0, 0) == 1.0
    with pytest.raises(ValueError, match="never negative"):
        sign_test(-1, 2)


def test_sentences_name_the_leader_only_when_chance_does_not_explain_it() -> None:
    assert verdict("A", 0, "B", 0, ties=3) == "No vote prefers either model yet."
    assert verdict("A", 1, "B", 9).startswith(
        "B was preferred in 9 of 10 votes (95 % interval 55 to 100 %); chance alone rarely does that (p = 0.021)"
    )
    assert verdict("A", 0, "B", 30).endswith("(p below 0.001).")
    assert verdict("A", 5, "B", 7).endswith(
        "chance alone explains a difference like this (p = 0.774; B 95 % interval 28 to 85 %)."
    )
    assert "(2 without a preference left out)" in verdict("A", 5, "B", 7, ties=2)
