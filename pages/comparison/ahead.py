"""Texts for blind votes that are written in the background, while somebody reads the pair before.

The thread only asks the preview server and waits; it ends with the pairs it was started for.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.base.errors import RetortError
from core.base.roles import Actor
from core.base.settings import Settings
from core.jobs.preview import client

MOST = 2
"""Pairs written ahead of the one that is read."""


@dataclass
class Pair:
    """Two texts of a prompt in an order nobody knows; `texts` is empty until they are there, or could not be written.

    `order`: the references of the two models as the texts stand.
    """

    number: int
    prompt: str
    order: tuple[str, ...]
    texts: tuple[str, ...] = ()
    ended: threading.Event = field(default_factory=threading.Event)

    def request(self, how: dict[str, Any]) -> dict[str, Any]:
        """What the preview server is asked for it."""
        return {"models": list(self.order), "prompt": self.prompt, **how, "seed": how["seed"] + self.number}


def pair_of(number: int, prompt: str, models: tuple[str, str]) -> Pair:
    return Pair(number, prompt, tuple(random.sample(models, 2)))


class Ahead:
    """The pairs of one visitor and two models that come next, in the order in which they will be read."""

    def __init__(self, settings: Settings, how: dict[str, Any]) -> None:
        self._settings, self._how = settings, how
        self._pairs: dict[str, Pair] = {}
        self._thread: threading.Thread | None = None

    def prepare(self, pairs: Sequence[Pair], actor: Actor) -> None:
        """Starts to write those that are not there yet, unless some are being written. `actor`: who will read them."""
        if self._thread is not None and self._thread.is_alive():
            return
        wanted = [p for p in pairs if p.prompt not in self._pairs][:MOST]
        if wanted:
            self._pairs |= {p.prompt: p for p in wanted}
            self._thread = threading.Thread(target=self._write, args=(wanted, actor), daemon=True)
            self._thread.start()

    def take(self, prompt: str) -> Pair | None:
        """The pair of this prompt, waited for where it is being written; None where there is none, or it failed."""
        pair = self._pairs.pop(prompt, None)
        if pair is None:
            return None
        pair.ended.wait(self._settings.limits.live_silence_seconds)
        return pair if pair.texts else None

    def is_ready(self, prompt: str) -> bool:
        """Whether `take` gives it at once."""
        pair = self._pairs.get(prompt)
        return pair is not None and pair.ended.is_set() and bool(pair.texts)

    def _write(self, pairs: Sequence[Pair], actor: Actor) -> None:
        for pair in pairs:
            try:
                pair.texts = _texts(client.ask(self._settings, actor, "generate", pair.request(self._how)))
            except (RetortError, client.Superseded):
                pass  # whoever takes it asks again, and is told why not
            finally:
                pair.ended.set()


def _texts(events: Any) -> tuple[str, ...]:
    found = {e["text"]["model"]: e["text"]["text"] for e in events if "text" in e}
    return tuple(found[i] for i in sorted(found))
