"""Peak memory: read in a fresh process (`core.engine.models.roundtrip`), told here as a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.registry.measurement import Measurement


def peak_memory(
    peak_bytes: int, *, device: str = "cpu", dtype: str = "", settings: Mapping[str, Any] | None = None
) -> Measurement:
    """Peak resident memory of a process that imported only torch and transformers, loaded the model and ran it."""
    how = {"how": "peak resident set of a fresh process, PyTorch itself included", **(settings or {})}
    return Measurement(
        metric="peak_memory_bytes", value=float(peak_bytes), unit="B", device=device, dtype=dtype, settings=how
    )
