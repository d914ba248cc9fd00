"""Which models there are to choose from, and what a reference stands for."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.analysis.doctor import ExportOption, export_options
from core.base.settings import Settings
from core.base.text import is_whole
from core.catalogue.anatomy import Anatomy, anatomy
from core.catalogue.exportable import describe
from core.catalogue.references import ResolvedModel, resolve
from core.catalogue.samples import is_fetched
from core.registry.sample_types import Sample
from core.registry.samples import SAMPLES
from core.store.rows import CandidateRow
from pages.frame import home

_DEPTH = 3  # how far below a root folders are looked for
MOST = 200


def sample_models() -> list[Sample]:
    return [s for s in SAMPLES.values() if s.kind == "model"]


def local_folders(settings: Settings) -> list[str]:
    """`path:` references of folders with a config.json under the roots."""
    found: list[str] = []
    for root in settings.roots:
        found += [f"path:{f}" for f in _folders(root, _DEPTH)]
    return found[:MOST]


def _folders(folder: Path, depth: int) -> list[Path]:
    try:
        names = (p for p in folder.iterdir() if not p.name.startswith(".") and is_whole(p.name))
        inside = sorted(p for p in names if p.is_dir())
        found = [p for p in inside if (p / "config.json").is_file()]
    except OSError:  # a folder that may not be read
        return []
    if depth > 1:
        for p in inside:
            if p not in found:
                found += _folders(p, depth - 1)
    return found[:MOST]


def kept() -> dict[str, CandidateRow]:
    """Candidates whose model was kept, by their `run:` reference, newest first."""
    rows = home.store().candidates.rows(saved=True)
    return {f"run:{r.key}": r for r in reversed(rows) if not r.baseline}


def kept_candidates() -> list[str]:
    """`run:` references of the newest kept candidates, as many as a list is good for."""
    return list(kept())[:MOST]


def candidate_labels() -> dict[str, str]:
    """What each kept candidate is, by its `run:` reference."""
    return {reference: f"{r.label} of {r.model}" for reference, r in kept().items()}


def ready(settings: Settings) -> list[str]:
    """References that can be used at once: fetched samples, then local folders."""
    samples = [f"sample:{s.id}" for s in sample_models() if is_fetched(s, settings)]
    return samples + local_folders(settings)


def look(reference: str) -> tuple[ResolvedModel, Anatomy]:
    """The model and its anatomy, without touching the network.

    Raises:
        RetortError: not found, not fetched, or no model Retort opens.
    """
    resolved = resolve(reference, home.settings(), None)
    return resolved, _anatomy(str(resolved.folder), resolved.fingerprint)


def forms(resolved: ResolvedModel) -> list[ExportOption]:
    """What a model can be exported as, and why not as the rest. Raises RetortError where its config is damaged."""
    return _forms(str(resolved.folder), resolved.fingerprint)


def formats(resolved: ResolvedModel) -> tuple[str, ...]:
    """Ids of the formats that a model can be written in. Raises RetortError where its config is damaged."""
    return tuple(o.id for o in forms(resolved) if o.possible)


@st.cache_data(show_spinner=False, max_entries=64)
def _forms(folder: str, fingerprint: str) -> list[ExportOption]:
    return export_options(describe(Path(folder)))


@st.cache_data(show_spinner=False, max_entries=64)
def _anatomy(folder: str, fingerprint: str) -> Anatomy:
    return anatomy(Path(folder))
