"""Which files of a model folder are its weights: those transformers reads, and no others."""

from __future__ import annotations

from pathlib import Path

from core.base.errors import RetortError
from core.base.text import one_line
from core.catalogue.checks import INDEX, SINGLE, check_weights, shards


def weight_files(folder: Path) -> list[Path]:
    """`model.safetensors`, or where there is none the parts that the index names.

    A folder may hold more (an adapter's file, a second copy as `consolidated.safetensors`, an old part): nobody loads
    those, so they count neither as bytes nor as tensors.

    Raises:
        RetortError: no such file, or one that the index names is missing.
    """
    if (folder / SINGLE).is_file():  # transformers, too, looks for it first
        return [folder / SINGLE]
    if not (folder / INDEX).is_file():
        check_weights(str(folder), [p.name for p in folder.iterdir() if p.is_file()])
    found = [folder / name for name in shards(folder)]
    for path in found:
        if not path.is_file():
            raise RetortError(
                f"The weights file {one_line(path.name, 80)} is missing.", "Download or save the model again."
            )
    return found
