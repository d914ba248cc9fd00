"""The finished study that comes with Retort: figures of a named machine, kept apart from the user's own runs.

It lies in a home of its own inside the cache, and an address whose run begins with `example-` shows that home: on
Trade-offs, on the report and its slides, with everything those pages do. Nothing else lists it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import streamlit as st

from core.base.settings import Settings
from core.recipe.recipe import Recipe
from core.store import Store
from core.store.bundle import Bundle, read_bundle, unpack
from core.store.problems import plain_errors
from pages.frame.cached import cached

BUNDLE = Path(__file__).resolve().parents[2] / "examples" / "sample-study.json"
PREFIX = "example-"
RUN = f"{PREFIX}sample-study"
PAGES = ("tradeoffs", "report")
"""Those that need figures alone."""


def is_here() -> bool:
    """Whether one came with this Retort."""
    return BUNDLE.is_file()


def asked_for() -> bool:
    """Whether the address names it."""
    return is_here() and any(run.startswith(PREFIX) for run in st.query_params.get_all("run"))


def bundle() -> Bundle:
    """What came with this Retort.

    Raises:
        RetortError: it is damaged.
    """
    return _bundle(BUNDLE, BUNDLE.stat().st_mtime_ns)


def recipe() -> Recipe:
    """What was measured, to be measured again here.

    Raises:
        RetortError: it was made by another version of Retort.
    """
    return bundle().recipe()


def store(settings: Settings) -> Store:
    """The home that holds it alone, made on first use.

    Raises:
        RetortError: it cannot be read, or the cache cannot be written.
    """
    return _store(settings, BUNDLE, BUNDLE.stat().st_mtime_ns)


@cached(2)
def _bundle(path: Path, version: int) -> Bundle:
    """`version`: another one when the file is another one."""
    return read_bundle(path)


@cached(2)
def _store(settings: Settings, path: Path, version: int) -> Store:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    home = settings.cache / f"{PREFIX}{digest}"
    own = Settings(home=home, limits=settings.limits)
    with plain_errors(settings.home):
        if not (home / "runs" / RUN).is_dir():
            unpack(_bundle(path, version), RUN, own)
    return Store(own, read_only=True)
