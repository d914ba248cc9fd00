"""Two texts without a sentence in common, and a request that uses them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from core.settings import Settings


def write_texts(settings: Settings) -> dict[str, dict[str, str]]:
    """`calibration` and `evaluation` corpora of random words, under the home's models."""
    found = {}
    for seed, name in enumerate(("calibration", "evaluation")):
        words = random.Random(seed)
        lines = [" ".join("".join(words.choices("aeinrstlo", k=5)) for _ in range(12)) + "." for _ in range(200)]
        path: Path = settings.home / "models" / f"{name}.txt"
        path.write_text("\n\n".join(lines))
        found[name] = {"data": f"path:{path}"}
    return found


def request(model: str, texts: dict[str, Any], prune: dict[str, Any], prompt: str = "The river") -> dict[str, Any]:
    return {"model": model, "prune": prune, "prompt": prompt, "tokens": 6, **texts}
