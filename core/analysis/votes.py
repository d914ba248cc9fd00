"""What blind votes between two models show: an exact two-sided sign test and a sentence that says it."""

from core.analysis.proportions import clopper_pearson
from core.analysis.statistics import SIGNIFICANT, mcnemar_exact
from core.registry.formatting import percent


def sign_test(first: int, second: int) -> float:
    """The two-sided p-value of `first` against `second` votes when either choice is equally likely.

    Ties are left out by the caller, as in Dixon and Mood, "The statistical sign test" (1946). Exact, not the normal
    approximation. Without votes the answer is 1. Raises ValueError for a negative count.
    """
    if first < 0 or second < 0:
        raise ValueError("A count of votes is never negative.")
    return mcnemar_exact(first, second)  # the same fair coin


def verdict(first_name: str, first: int, second_name: str, second: int, ties: int = 0) -> str:
    """One plain sentence: who was preferred how often, the exact interval, and whether chance alone explains it."""
    votes = first + second
    if not votes:
        return "No vote prefers either model yet."
    aside = f" ({ties} without a preference left out)" if ties else ""
    leader, wins = (first_name, first) if first >= second else (second_name, second)
    p = sign_test(first, second)
    total = "1 vote" if votes == 1 else f"{votes} votes"
    chance = "below 0.001" if p < 0.001 else f"= {p:.3f}"
    ends = clopper_pearson(wins, votes)
    known = f"95 % interval {percent(ends.low).removesuffix(' %')} to {percent(ends.high)}"
    if p < SIGNIFICANT:
        return (
            f"{leader} was preferred in {wins} of {total} ({known}){aside}; chance alone rarely does that (p {chance})."
        )
    counts = f"{first_name} got {first} and {second_name} {second} of {total}{aside}"
    return f"{counts}; chance alone explains a difference like this (p {chance}; {leader} {known})."
