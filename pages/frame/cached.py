"""Keeps what was computed, for all sessions of the server, by the arguments it depends on.

Streamlit's own caches hash arguments by walking through them, which takes longer than most of what is kept here; and
twenty viewers who ask for the same at once should not each compute it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def cached(most: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Remembers the `most` results that were asked for last; arguments are hashable, and results are not changed.

    Whoever asks for what another thread is computing waits for it. What raises is computed anew the next time.
    """

    def around(compute: Callable[P, T]) -> Callable[P, T]:
        found: OrderedDict[Hashable, Future[T]] = OrderedDict()
        lock = threading.Lock()

        @wraps(compute)
        def ask(*args: P.args, **named: P.kwargs) -> T:
            key = (args, tuple(sorted(named.items())))
            with lock:
                future = found.get(key)
                mine = future is None
                if future is None:
                    future = found[key] = Future()
                found.move_to_end(key)
                while len(found) > most:
                    found.popitem(last=False)
            if mine:
                try:
                    future.set_result(compute(*args, **named))
                except BaseException as error:
                    with lock:
                        if found.get(key) is future:
                            del found[key]
                    future.set_exception(error)
            return future.result()

        return ask

    return around
