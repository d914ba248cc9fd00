"""Samples in the home: whether one is here, complete, and as it was written."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from core.base.errors import RetortError
from core.base.integrity import damage, is_sealed, seal, sha256
from core.base.settings import Settings
from core.base.text import one_line
from core.catalogue.manifests import MANIFEST, FileFacts, Manifest, read_manifest
from core.registry.sample_types import Sample
from core.registry.samples import sample


def is_fetched(which: Sample | str, settings: Settings) -> bool:
    """True where the sample lies complete in the home, as this version prepares it."""
    wanted = sample(which) if isinstance(which, str) else which
    folder = wanted.folder(settings)
    manifest = read_manifest(folder)
    return manifest is not None and manifest.pin == wanted.pin and _wrong(folder, manifest) is None


def sample_damage(wanted: Sample, settings: Settings) -> str | None:
    """What is wrong with a sample that was fetched, as the end of a sentence; None where it is whole, or not here."""
    folder = wanted.folder(settings)
    manifest = read_manifest(folder)
    if manifest is None:
        # The manifest is written before the folder gets its name.
        return f"{MANIFEST} is damaged or missing" if folder.is_dir() and any(folder.iterdir()) else None
    return _wrong(folder, manifest) if manifest.pin == wanted.pin else None


def refuse_unfetched(wanted: Sample, settings: Settings) -> None:
    """Raises RetortError where the sample is not here, or is damaged."""
    if is_fetched(wanted, settings):
        return
    wrong = sample_damage(wanted, settings)
    raise RetortError(
        f"sample:{wanted.id} has not been fetched yet."
        if wrong is None
        else f"sample:{wanted.id}, which Retort fetched itself, is damaged: {wrong}.",
        f"Fetch it{'' if wrong is None else ' again'} on the Model page, or with 'python -m core fetch {wanted.id}'."
        if wanted.kind == "model"
        else f"Fetch it{'' if wrong is None else ' again'} with 'python -m core fetch {wanted.id}'.",
    )


def _wrong(folder: Path, manifest: Manifest) -> str | None:
    """By the sums beside the folder; of one that was fetched before there were any, by the sums in its manifest."""
    if is_sealed(folder):
        return damage(folder)
    for name, facts in manifest.files.items():
        wrong = _differs(folder / name, name, facts)
        if wrong is not None:
            return wrong
    with suppress(OSError):  # a home that may only be read
        seal(folder)
    return None


def _differs(path: Path, name: str, facts: FileFacts) -> str | None:
    shown = one_line(name, 80)
    try:
        size = path.stat().st_size
        if size != facts.bytes:
            return f"{shown} has {size:,} bytes instead of {facts.bytes:,}"
        if facts.sha256 and sha256(path) != facts.sha256:
            return f"{shown} holds other bytes than were written"
    except (OSError, ValueError):
        return f"{shown} is missing"
    return None
