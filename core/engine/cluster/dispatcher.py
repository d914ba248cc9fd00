"""Sends trials to the nodes, one a device, and takes their answers; what a lost node had goes to another."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from core.base.errors import RetortError
from core.base.progress import Reporter
from core.cluster.connection import DEVICE, START_NODE
from core.cluster.nodes import devices, graphics_each, nodes
from core.engine.cluster.messages import Answer, Study
from core.engine.cluster.node_session import run_trial
from core.recipe.results import Trial

logger = logging.getLogger("retort")
_LOOK = 0.5
"""Seconds the run waits for answers before it looks for a cancel."""
_NO_DEVICE_SECONDS = 60.0


@dataclass(frozen=True)
class SentTrial:
    """A trial that is on a node or waits for one. `attempt` counts from 1."""

    trial: Trial
    attempt: int


Ended = Callable[[Trial, Answer | RetortError], None]


class Dispatcher:
    """The nodes of a cluster, seen by one run. Nodes may come and go meanwhile.

    Args:
        started: told the number of each trial when it is sent.
        ended: told each trial's answer, or the error it is given up with.
        attempts: how often a trial is sent before it is given up.
        grace: seconds an interrupted trial has to stop.
        most: trials that run at once, at most; None: one a device.
    """

    def __init__(
        self,
        ray: Any,
        reporter: Reporter,
        started: Callable[[int], None],
        ended: Ended,
        attempts: int,
        grace: float,
        most: int | None = None,
    ) -> None:
        self._ray, self._reporter = ray, reporter
        self._started, self._ended = started, ended
        self._attempts, self._grace, self._most = attempts, grace, most
        self._task = ray.remote(run_trial)
        self._running: dict[Any, SentTrial] = {}
        self._idle_since: float | None = None

    def run(self, study: Study, trials: Sequence[Trial]) -> None:
        """Every trial, each ended once.

        Raises:
            RetortError: the cluster offers no device (any more).
            Cancelled: the user asked to stop; the tasks are stopped too.
        """
        waiting = deque(SentTrial(trial, 1) for trial in trials)
        shared = self._ray.put(study)
        try:
            while waiting or self._running:
                self._reporter.checkpoint()
                self._send(shared, waiting)
                ready, _ = self._ray.wait(list(self._running), timeout=_LOOK) if self._running else ([], [])
                for reference in ready:
                    self._settle(reference, waiting)
        except BaseException:
            self._stop()
            raise

    def _send(self, shared: Any, waiting: deque[SentTrial]) -> None:
        found = nodes(self._ray)
        room = devices(found)
        self._watch_devices(room)
        room = room if self._most is None else min(room, self._most)
        while waiting and len(self._running) < room:
            sent = waiting.popleft()
            task = self._task.options(
                resources={DEVICE: 1},
                num_cpus=0,
                num_gpus=graphics_each(found),
                max_retries=0,
                name=f"retort {sent.trial.key}",
            )
            self._running[task.remote(shared, sent.trial)] = sent
            self._started(sent.trial.index)
        busy = sum(n.devices > 0 for n in found)
        self._reporter.progress(0, 1, f"{len(self._running)} running on {busy} node{'s' if busy != 1 else ''}.")

    def _watch_devices(self, room: int) -> None:
        """Nodes may be on their way, but a run must not wait for ever for one that never comes."""
        now = time.monotonic()
        if room:
            self._idle_since = None
            return
        self._idle_since = self._idle_since or now
        if now - self._idle_since > _NO_DEVICE_SECONDS:
            raise RetortError(
                f"No node of the cluster has offered a '{DEVICE}' for a minute.",
                f"Start a node with: {START_NODE}, then resume the run.",
            )

    def _settle(self, reference: Any, waiting: deque[SentTrial]) -> None:
        sent = self._running.pop(reference)
        errors = self._ray.exceptions
        try:
            answer: Answer = self._ray.get(reference)
            self._ended(sent.trial, answer)
        except errors.RayTaskError as error:
            cause = error.cause
            raise (cause if isinstance(cause, Exception) else error) from error
        except errors.RayError as error:
            # The node or its process died, or what it held was lost before it came home.
            logger.warning("%s was lost: %s", sent.trial.label, error)
            self._again(sent, waiting)

    def _again(self, sent: SentTrial, waiting: deque[SentTrial]) -> None:
        if sent.attempt >= self._attempts:
            self._ended(
                sent.trial,
                RetortError(
                    f"Its node or process was lost {sent.attempt} times.",
                    "Most likely memory ran out there: use nodes with more memory, then resume the run.",
                ),
            )
            return
        self._reporter.event("warning", f"{sent.trial.label}: its node was lost, so it starts again on another.")
        waiting.appendleft(SentTrial(sent.trial, sent.attempt + 1))

    def _stop(self) -> None:
        """Interrupts what runs; what has not stopped after the grace is ended."""
        left = list(self._running)
        for force in (False, True):
            if not left:
                return
            for reference in left:
                with suppress(Exception):
                    self._ray.cancel(reference, force=force)
            _, left = self._ray.wait(left, num_returns=len(left), timeout=self._grace)
