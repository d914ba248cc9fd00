"""Models Retort saved itself, in the folders of candidates: are they still what was written?"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from core.base.errors import RetortError
from core.base.integrity import damage, is_sealed, seal
from core.base.untrusted_files import readable
from core.catalogue.checks import read_json
from core.catalogue.safetensors_header import read_headers


def model_damage(folder: Path) -> str | None:
    """What is wrong with a model that was kept in `folder`, as the end of a sentence; None where nothing is.

    One from before sums were noted is judged by its config and by the headers of its weights, which tell what was cut
    short, and gets its sums now.
    """
    if not folder.is_dir():
        return "its folder is missing"
    if is_sealed(folder):
        return damage(folder)
    try:
        with readable(folder):
            read_json(folder / "config.json")
            if not read_headers(folder):
                return "it holds no weights"
    except RetortError as error:
        return error.cause[:1].lower() + error.cause[1:].rstrip(".")
    with suppress(OSError):  # a home that may only be read
        seal(folder)
    return None
