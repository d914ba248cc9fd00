"""Model references: `sample:NAME`, `path:/folder`, `hub:org/name@revision`, `run:ID`; from text to a folder.

`run:RUN` is what a recipe ended with, `run:RUN/KEY` or `run:KEY` any candidate whose model was kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from core.base.errors import RetortError
from core.base.integrity import damage, seal
from core.base.roles import Actor, may, not_here
from core.base.settings import Settings
from core.base.text import one_line
from core.base.untrusted_files import readable
from core.catalogue.adapters import CONFIG as ADAPTER_CONFIG
from core.catalogue.adapters import is_adapter, merge, read_adapter
from core.catalogue.checks import check_model_folder, inside_roots, read_json, refuse_outside_links
from core.catalogue.fingerprint import folder_fingerprint
from core.catalogue.hub import fetch_snapshot
from core.catalogue.manifests import Manifest, read_manifest
from core.catalogue.samples import refuse_unfetched
from core.catalogue.saved_models import model_damage
from core.recipe.records import makes_again, run_makes_again
from core.recipe.references import is_part, model_parts
from core.recipe.results import FILE_BYTES
from core.registry.samples import sample

Kind = Literal["sample", "path", "hub", "run"]
RUN_RESULT = "result.json"
"""In a run's folder: which candidate its recipe ended with, `{"candidate": KEY}`."""


@dataclass(frozen=True)
class Reference:
    """Where a model comes from. `revision` is for the hub only."""

    kind: Kind
    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Reads a reference. Raises RetortError for anything else."""
        found = model_parts(text)
        if found is None:
            raise RetortError(
                f"'{one_line(text, 200)}' is no model reference.",
                "Write sample:smollm2-135m, path:/a/folder, hub:org/name@revision or run:ID.",
            )
        kind, name, revision = found
        return cls(cast(Kind, kind), name, revision)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class ResolvedModel:
    """A reference that was found: a checked local folder and a hash of its files, whatever it is called."""

    reference: Reference
    folder: Path
    fingerprint: str
    provenance: dict[str, Any]


def resolve(text: str, settings: Settings, actor: Actor | None) -> ResolvedModel:
    """From a reference to a folder plain transformers can load; an adapter is merged into its model first.

    Args:
        text: the reference.
        actor: who asks, which decides whether a hub model may be downloaded. None: nobody does; the network is never
            touched, and a hub model must be in the local cache.
    Raises:
        RetortError: not found, not allowed, not on this disk where it may not be downloaded, or no model
            Retort opens (one sentence and the remedy).
    """
    reference = Reference.parse(text)
    with readable(str(reference)):
        return _resolve(reference, settings, actor)


def _resolve(reference: Reference, settings: Settings, actor: Actor | None) -> ResolvedModel:
    if reference.kind == "sample":
        return _sample(reference, settings)
    if reference.kind == "path":
        return _path(reference, settings, actor)
    if reference.kind == "hub":
        return _hub(reference, settings, actor)
    return _run(reference, settings)


def _sample(reference: Reference, settings: Settings) -> ResolvedModel:
    wanted = sample(reference.name)
    if wanted.kind != "model":
        raise RetortError(f"{reference} is data, not a model.", "Choose a sample model such as sample:smollm2-135m.")
    refuse_unfetched(wanted, settings)
    folder = wanted.folder(settings)
    provenance = {
        "source": ", ".join(p.pinned for p in wanted.packages) or f"made from sample:{wanted.made_from}",
        "licence": wanted.licence,
        "licence_url": wanted.licence_url,
        "note": wanted.note,
    }
    return ResolvedModel(reference, folder, folder_fingerprint(folder, settings), provenance)


def _path(reference: Reference, settings: Settings, actor: Actor | None) -> ResolvedModel:
    folder = inside_roots(reference.name, settings)
    if is_adapter(folder):
        return _adapter(reference, folder, settings, actor)
    check_model_folder(folder)
    refuse_outside_links(folder, settings)
    manifest = read_manifest(folder) or Manifest()
    provenance = {"source": str(folder), "licence": manifest.licence, "note": manifest.note}
    return ResolvedModel(reference, folder, folder_fingerprint(folder, settings), provenance)


def _adapter(reference: Reference, folder: Path, settings: Settings, actor: Actor | None) -> ResolvedModel:
    """The adapter merged into its base, which is resolved as any model; merged once and kept in the home."""
    refuse_outside_links(folder, settings)
    adapter = read_adapter(folder)
    local = adapter.base.startswith(("/", "./", "../", "~")) or (folder / adapter.base).is_dir()
    place = adapter.base if adapter.base.startswith(("/", "~")) else str(folder / adapter.base)
    try:
        base = resolve(f"path:{place}" if local else f"hub:{adapter.base}", settings, actor)
    except RetortError as error:
        raise RetortError(
            f"The model that this adapter belongs to could not be opened: {error.cause}",
            f"{error.remedy} The adapter names it in {ADAPTER_CONFIG} ('base_model_name_or_path'), which may also be a "
            "folder.",
        ) from error
    key = hashlib.sha256(f"{base.fingerprint} {folder_fingerprint(folder, settings)}".encode()).hexdigest()[:24]
    merged = settings.home / "merged" / key
    if model_damage(merged) is not None:
        merge(adapter, base.folder, merged)
        seal(merged)
    check_model_folder(merged)
    provenance = {
        **base.provenance,
        "source": f"adapter {folder}, merged into {base.reference}",
        "made_from": str(base.reference),
    }
    return ResolvedModel(reference, merged, folder_fingerprint(merged, settings), provenance)


def _hub(reference: Reference, settings: Settings, actor: Actor | None) -> ResolvedModel:
    allowed = actor is not None and may(actor, "fetch")
    try:
        snapshot = fetch_snapshot(reference.name, reference.revision, allowed)
    except RetortError as error:
        if allowed or actor is None:
            raise
        raise not_here(str(reference)) from error
    check_model_folder(snapshot.folder)
    pinned = Reference("hub", reference.name, snapshot.commit)
    provenance = {
        "source": f"https://huggingface.co/{reference.name}/tree/{snapshot.commit}",
        "commit": snapshot.commit,
        "licence": snapshot.licence,
        "note": snapshot.note,
    }
    return ResolvedModel(pinned, snapshot.folder, folder_fingerprint(snapshot.folder, settings), provenance)


def _run(reference: Reference, settings: Settings) -> ResolvedModel:
    key = reference.name.rpartition("/")[2]
    if "/" not in reference.name and settings.run_folder(key).is_dir():
        key = _ended_with(key, settings)
    if not is_part(key):
        raise RetortError(f"{reference} names no candidate.", "Copy the reference from the Runs or Trade-offs page.")
    candidate = settings.home / "candidates" / key
    if not (candidate / "result.json").is_file():
        raise RetortError(f"There is no candidate '{key}'.", "Copy the reference from the Runs or Trade-offs page.")
    facts = read_json(candidate / "result.json", FILE_BYTES)
    if not (candidate / "model").is_dir() and not facts.get("saved"):
        raise RetortError(
            f"The candidate '{key}' was measured, but its model was not kept.",
            "Run its sweep again with 'keep: all', then use it here.",
        )
    wrong = model_damage(candidate / "model")
    if wrong is not None:
        raise RetortError(
            f"The model of '{one_line(str(facts.get('label', key)), 200)}' ({reference}), which Retort saved itself, "
            f"is damaged: {wrong}.",
            makes_again(key, settings),
        )
    check_model_folder(candidate / "model")
    made_from = one_line(str(facts.get("model", "an unknown model")), 300)
    provenance = {"source": f"candidate {key}, made from {made_from}", "made_from": made_from}
    folder = candidate / "model"
    return ResolvedModel(reference, folder, folder_fingerprint(folder, settings), provenance)


def _ended_with(run_id: str, settings: Settings) -> str:
    """Key of the candidate that a run's recipe ended with; the run's id where it has not ended with one."""
    path = settings.run_folder(run_id) / RUN_RESULT
    wrong = damage(path)
    if wrong is not None:
        raise RetortError(
            f"What says which model the run '{run_id}' ended with, which Retort saved itself, is damaged: {wrong}.",
            run_makes_again(run_id, settings),
        )
    return str(read_json(path).get("candidate", run_id)) if path.is_file() else run_id
