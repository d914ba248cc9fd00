"""Where Retort keeps its data, and the limits it holds itself to. Read once from the environment."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import platformdirs

from core.base.errors import RetortError
from core.base.roles import Actor
from core.base.text import one_line

_KEPT_LIMITS = ("memory", "minutes", "attempts", "cancel_grace_seconds", "quiet_seconds")
"""The limits that a run takes with it from whoever queued it."""


QUIET_SECONDS = 60.0


@dataclass(frozen=True)
class Limits:
    """Ceilings that keep one careless form from filling a queue or a disk."""

    trials: int = 500
    queued_runs: int = 100
    prompt_characters: int = 8_000
    recipe_bytes: int = 256_000
    attempts: int = 3
    cancel_grace_seconds: float = 20.0
    runner_idle_seconds: float = 20.0
    live_idle_seconds: float = 300.0
    live_bytes: int = 4_000_000_000
    """What models in the preview server may take together."""
    live_leave_seconds: float = 5.0
    """How long the preview server has to leave when a run or a command needs the machine; then it is ended."""
    live_answer_seconds: float = 300.0
    """How long the preview server may compute without a word of its answer."""
    live_silence_seconds: float = 60.0
    """How long whoever asked the preview server hears nothing at all before it is taken for stuck and ended."""
    memory: str = ""
    """Memory a job may take (`RETORT_MEMORY_LIMIT`): '12 GB', or '75 %' of the machine; empty: 90 %."""
    minutes: str = ""
    """Minutes a run may work at a stretch (`RETORT_TIME_LIMIT`); empty: as long as it takes."""
    quiet_seconds: float = field(default_factory=lambda: _seconds(os.environ.get("RETORT_QUIET_SECONDS", "")))
    """Seconds a run waits in all for a quiet machine before it times models (`RETORT_QUIET_SECONDS`)."""


@dataclass(frozen=True)
class Settings:
    """One home folder holds everything Retort writes.

    Attributes:
        home: the data folder (`RETORT_HOME`, or the platform's user data folder).
        roots: folders a `path:` model or data set may lie under (`RETORT_ROOTS`, separated by
            the platform's path separator; default: `home / "models"` only).
        cluster: HOST:PORT of the Ray cluster for runs with `executor: ray` (`RETORT_RAY_ADDRESS`);
            `auto`: the one this machine belongs to.
    """

    home: Path
    roots: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)
    cluster: str = "auto"

    @classmethod
    def load(cls, home: str | Path | None = None) -> Settings:
        """Settings from the environment; `home` (the command line's --home) wins over `RETORT_HOME`."""
        chosen = home or os.environ.get("RETORT_HOME") or platformdirs.user_data_dir("retort", appauthor=False)
        base = _folder(chosen)
        roots = [_folder(r) for r in os.environ.get("RETORT_ROOTS", "").split(os.pathsep) if r]
        limits = Limits(
            memory=os.environ.get("RETORT_MEMORY_LIMIT", ""),
            minutes=os.environ.get("RETORT_TIME_LIMIT", ""),
        )
        cluster = os.environ.get("RETORT_RAY_ADDRESS") or "auto"
        return cls(home=base, roots=(base / "models", *roots), limits=limits, cluster=cluster)

    def environment(self) -> dict[str, str]:
        """What `load` reads these settings from again, in a process that is started with it.

        Raises:
            RetortError: a root holds the path separator, so that a list of paths would name other folders.
        """
        roots = [str(root) for root in self._own_roots()]
        if parted := next((root for root in roots if os.pathsep in root), None):
            raise RetortError(
                f"The folder '{parted}' cannot be a root: '{os.pathsep}' stands between two roots.",
                f"Rename the folder so that its path has no '{os.pathsep}'.",
            )
        return {
            "RETORT_HOME": str(self.home),
            "RETORT_ROOTS": os.pathsep.join(roots),
            "RETORT_MEMORY_LIMIT": self.limits.memory,
            "RETORT_TIME_LIMIT": self.limits.minutes,
            "RETORT_RAY_ADDRESS": self.cluster,
        }

    def kept(self, actor: Actor) -> dict[str, Any]:
        """What a run keeps of the settings `actor` queues it with, as JSON: whoever works on it later goes by these."""
        limits = {name: getattr(self.limits, name) for name in _KEPT_LIMITS}
        roots = [str(root) for root in self._own_roots()]
        return {"roots": roots, "cluster": self.cluster, "name": actor.name, "role": actor.role, **limits}

    def of_run(self, kept: dict[str, Any]) -> Settings:
        """These settings with what a run has `kept`; a run of an older Retort has kept nothing and changes nothing."""
        limits = {name: type(getattr(self.limits, name))(kept[name]) for name in _KEPT_LIMITS if name in kept}
        roots = (self.home / "models", *map(Path, kept["roots"])) if "roots" in kept else self.roots
        cluster = str(kept.get("cluster", self.cluster))
        return replace(self, roots=roots, cluster=cluster, limits=replace(self.limits, **limits))

    def _own_roots(self) -> list[Path]:
        """The roots without that of the home, which `load` adds by itself."""
        return [root for root in self.roots if root != self.home / "models"]

    @property
    def database(self) -> Path:
        return self.home / "retort.sqlite3"

    @property
    def roles(self) -> Path:
        """Who may do what, where a login is set up."""
        return self.home / "roles.toml"

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def samples(self) -> Path:
        return self.home / "samples"

    @property
    def locks(self) -> Path:
        return self.home / "locks"

    @property
    def cache(self) -> Path:
        """Statistics and tokenised corpora: everything here can be made again."""
        return self.home / "cache"

    def run_folder(self, run_id: str) -> Path:
        return self.runs / run_id


def _seconds(text: str) -> float:
    """A number of seconds up to an hour; what is none leaves the default."""
    try:
        found = float(text)
    except ValueError:
        return QUIET_SECONDS
    return found if 0.0 <= found <= 3600.0 else QUIET_SECONDS


def _folder(text: str | Path) -> Path:
    """The real path of a folder that somebody named.

    Raises:
        RetortError: it starts with the home of a user who is not there, or can be no path.
    """
    try:
        return Path(text).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        shown = one_line(str(text), 120)
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            raise RetortError(f"The path '{shown}' is longer than this system allows.", "Give a shorter one.") from None
        if str(text).startswith("~") and isinstance(error, RuntimeError):
            user = one_line(str(text).partition("/")[0][1:], 60)
            raise RetortError(
                f"There is no home of a user '{user}', which '{shown}' starts with.", "Give the full path."
            ) from None
        raise RetortError(
            f"'{shown}' is no usable path ({one_line(str(error), 120)}).", "Give the full path."
        ) from None
