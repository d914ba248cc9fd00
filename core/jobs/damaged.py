"""What a run saved that is no longer what was written, so that resuming it makes it again."""

from __future__ import annotations

from core.base.integrity import damage, sealed_in
from core.base.settings import Settings
from core.catalogue.references import RUN_RESULT
from core.catalogue.saved_models import model_damage
from core.store import Store


def damaged(run_id: str, settings: Settings, store: Store) -> list[str]:
    """A sentence for each: models of its candidates that were kept, its exports, and which model it ended with.

    Cheap: sizes and times are compared (core/base/integrity.py).
    """
    found = []
    for row in store.candidates.rows(run_id=run_id, saved=True):
        wrong = model_damage(store.candidates.folder(row.key) / "model")
        if wrong is not None:
            found.append(f"The model of '{row.label}' is damaged: {wrong}.")
    folder = settings.run_folder(run_id)
    for path in (folder / RUN_RESULT, *sealed_in(folder / "exports")):
        wrong = damage(path)
        if wrong is not None:
            found.append(f"{path.relative_to(folder)} is damaged: {wrong}.")
    return found
