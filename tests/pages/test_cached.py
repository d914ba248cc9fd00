"""What is kept is computed once, whoever asks; failures are not kept."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pages.frame.cached import cached


def test_twenty_who_ask_at_once_get_one_computation() -> None:
    calls: list[int] = []
    go = threading.Event()

    @cached(4)
    def slow(n: int) -> list[int]:
        calls.append(n)
        go.wait(10)
        return [n]

    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(slow, 7) for _ in range(20)]
        go.set()
        found = [a.result(10) for a in asked]
    assert calls == [7] and all(f is found[0] for f in found)


def test_the_last_asked_stay_and_older_ones_go() -> None:
    calls: list[int] = []

    @cached(2)
    def square(n: int) -> int:
        calls.append(n)
        return n * n

    assert [square(1), square(2), square(1), square(3), square(1), square(2)] == [1, 4, 1, 9, 1, 4]
    assert calls == [1, 2, 3, 2]


def test_a_failure_is_told_and_tried_again() -> None:
    calls: list[int] = []

    @cached(2)
    def fails(n: int) -> int:
        calls.append(n)
        if len(calls) == 1:
            raise ValueError("Not yet.")
        return n

    with pytest.raises(ValueError, match="Not yet"):
        fails(1)
    assert fails(1) == 1 and len(calls) == 2
