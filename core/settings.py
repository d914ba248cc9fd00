"""Where Retort keeps its data, and the limits it holds itself to. Read once from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from core.roles import LOCAL, Actor


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
    """What models in the live host may take together."""
    memory: str = ""
    """Memory a job may take (`RETORT_MEMORY_LIMIT`): '12 GB', or '75 %' of the machine; empty: 90 %."""
    minutes: str = ""
    """Minutes a run may work at a stretch (`RETORT_TIME_LIMIT`); empty: as long as it takes."""


@dataclass(frozen=True)
class Settings:
    """One home folder holds everything Retort writes.

    Attributes:
        home: the data folder (`RETORT_HOME`, or the platform's user data folder).
        roots: folders a `path:` model or data set may lie under (`RETORT_ROOTS`, separated by
            the platform's path separator; default: `home / "models"` only).
        cluster: HOST:PORT of the Ray cluster for runs with `executor: ray` (`RETORT_RAY_ADDRESS`);
            `auto`: the one this machine belongs to.
        actor: who asks; core refuses what their role does not allow.
    """

    home: Path
    roots: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)
    actor: Actor = LOCAL
    cluster: str = "auto"

    @classmethod
    def load(cls, home: str | Path | None = None) -> Settings:
        """Settings from the environment; `home` (the command line's --home) wins over `RETORT_HOME`."""
        chosen = home or os.environ.get("RETORT_HOME") or platformdirs.user_data_dir("retort", appauthor=False)
        base = Path(chosen).expanduser().resolve()
        roots = [Path(r).expanduser().resolve() for r in os.environ.get("RETORT_ROOTS", "").split(os.pathsep) if r]
        limits = Limits(
            memory=os.environ.get("RETORT_MEMORY_LIMIT", ""), minutes=os.environ.get("RETORT_TIME_LIMIT", "")
        )
        cluster = os.environ.get("RETORT_RAY_ADDRESS") or "auto"
        return cls(home=base, roots=(base / "models", *roots), limits=limits, cluster=cluster)

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
