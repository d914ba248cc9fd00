"""The Hugging Face folder: the saved model as it is, which was compared when it was saved."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from core.base.progress import Reporter


def write(folder: Path, target: Path, reporter: Reporter) -> dict[str, Any]:
    """Copies the files of `folder` into `target`. Raises OSError where the disk is full."""
    reporter.progress(0, 1, "Copying the model.")
    shutil.copytree(folder, target, dirs_exist_ok=True)
    return {}
