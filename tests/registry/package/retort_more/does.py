"""What does the work: imported by the worker only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from core.engine.evaluate.tasks.items import Item, options


def columns(weight: Tensor, stats: Any, generator: torch.Generator) -> Tensor:
    """The last columns first, `(out, in)`."""
    return -torch.arange(weight.shape[1], dtype=torch.float32).expand_as(weight).clone() + weight.shape[1]


def huber(student: Tensor, teacher: Tensor) -> Tensor:
    return F.huber_loss(student, teacher, reduction="none").mean(-1)


def largest_token(model: Any, tokenizer: Any, windows: Tensor) -> float:
    return int(windows.max())


def colour(record: Mapping[str, Any]) -> Item:
    return options(record["question"], record["choices"], record["answer"])


def write_names(folder: Path, target: Path, reporter: Any) -> dict[str, Any]:
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        names = sorted(file.keys())
    (target / "names.txt").write_text("\n".join(names))
    return {"tensors": len(names)}
