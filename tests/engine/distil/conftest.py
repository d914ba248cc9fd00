"""A tiny teacher and a smaller student made from it, both real Llamas in float32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.engine.distil.batches import Windows
from core.engine.distil.packing import packed
from core.engine.models.load import Loaded, load_model


@pytest.fixture
def teacher(tiny_llama: Path) -> Loaded:
    """4 layers x 32. Its random weights are scaled up: otherwise it would be sure of nothing."""
    loaded = load_model(tiny_llama, "float32")
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if "norm" not in name:
                parameter.mul_(4.0)
    return loaded


@pytest.fixture
def student(teacher: Loaded) -> Loaded:
    """Layers 0 and 2 of the teacher."""
    from core.base.progress import InMemoryReporter
    from core.engine.distil.student import design_student
    from core.recipe.distil import Design

    return design_student(teacher, Design(layers=2), None, None, InMemoryReporter()).loaded


@pytest.fixture(scope="session")
def windows(tiny_llama: Path, tiny_text: str) -> Windows:
    """Sequences of 24 tokens."""
    from transformers import AutoTokenizer

    return Windows(packed([tiny_text], AutoTokenizer.from_pretrained(tiny_llama), 24)[:64])
