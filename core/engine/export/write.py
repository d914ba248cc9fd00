"""Writes one export: complete and compared, or not there at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.base import json_io
from core.base.durable_files import replacing_folder
from core.base.errors import RetortError
from core.base.functions import load_function
from core.base.integrity import damage, seal, unseal
from core.base.progress import Reporter
from core.catalogue.export_check import refuse_export
from core.catalogue.exportable import describe
from core.engine.measure.size import disk_bytes
from core.registry.formats import Format

FACTS = "export.json"
"""Beside the files of an export: what it was made from and what the comparison found."""


def export(chosen: Format, folder: Path, target: Path, source: str, reporter: Reporter) -> dict[str, Any]:
    """Writes the model in `folder` to the folder `target`; what lies there already from the same `source` stays.

    Args:
        source: identifies the bytes of the model.

    Returns:
        The facts of the export, as in its `export.json`.

    Raises:
        RetortError: the format cannot hold this model, the disk is full, or what was written computes something else.
    """
    refuse_export(chosen.id, describe(folder))
    found = _facts(target)
    if found is not None and found.get("source") == source:
        wrong = damage(target)
        if wrong is None:
            return found
        reporter.event("warning", f"The export in {target.name} is damaged: {wrong}. It is made again.")
    try:
        with replacing_folder(target) as partial:
            written = load_function(chosen.entry)(folder, partial, reporter)
            facts = {"format": chosen.id, "source": source, **written}
            facts["bytes"], facts["bytes_with_tokenizer"] = disk_bytes(partial, chosen.weights)
            (partial / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
            unseal(target)
        seal(target)
    except OSError as error:
        raise RetortError(
            f"The export could not be written: {error.strerror or error}.",
            "Free disk space, then resume the run: finished models are kept.",
        ) from error
    return facts


def _facts(target: Path) -> dict[str, Any] | None:
    try:
        found = json_io.load((target / FACTS).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
