"""A tiny real study: made-up texts, and a sweep of a tiny model over them."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from core.recipe.recipe import Calibration, Evaluation, Grid, Latency, Recipe, Sweep, Target

TIMED = {"prefill_ms", "decode_ms", "peak_memory_bytes", "energy_j_per_token"}
"""What a clock or the machine's load decides."""


def text(path: Path, seed: int) -> str:
    """A file of made-up words, no two seeds alike, as a `path:` reference."""
    dice = random.Random(seed)
    words = ["".join(dice.choices("abcdefghilmnoprstu", k=dice.randint(2, 8))) for _ in range(400)]
    path.write_text("\n\n".join(" ".join(dice.choices(words, k=60)) + "." for _ in range(120)))
    return f"path:{path}"


def recipe(models: Path, sparsities: tuple[float, ...] = (0.5,), keep: str = "structured") -> Recipe:
    """A sweep of the model in `models / "tiny"`."""
    return Recipe(
        name="Tiny study",
        model=f"path:{models / 'tiny'}",
        calibration=Calibration(data=text(models / "a.txt", 1), split=None, sequences=4, length=64),
        evaluation=Evaluation(data=text(models / "b.txt", 2), split=None, tokens=1024, window=64),
        latency=Latency(prompt=8, new_tokens=2, repeats=1, warmup=0),
        dtype="float32",
        sweep=Sweep(
            grid=(
                Grid(method=("magnitude", "wanda"), sparsity=sparsities),
                Grid(method=("block_influence",), target=(Target(remove_layers=1),)),
            ),
            keep=keep,  # type: ignore[arg-type]
        ),
    )


def panicking(model: Path, folder: Path) -> Path:
    """A copy whose tokenizer.json makes the tokenizers library panic at every text: it names an unknown token."""
    shutil.copytree(model, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "pair": [],
        "special_tokens": {},
        "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder
