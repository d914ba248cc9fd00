"""Two texts without a sentence in common, and a request that uses them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from core.base.settings import Settings


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


def write_hostile_tokenizer(folder: Path, words: int = 384) -> None:
    """Gives a tiny model words of markup, links, formulas, direction marks, control characters, and of 100 kB."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    kinds = (
        "<img src=x onerror=alert({})>",
        "[a{}](http://evil.invalid)",
        "\u202eabc{}",
        "\x01\x7f{}",
        "$x{}$ :red[y]",
        "</pre><script>alert({})</script>",
        "{}" + "A" * 100_000,
        "&lt;b&gt;{}",
    )
    known = {kinds[i % 8 if i % 40 == 6 or i % 8 != 6 else 0].format(i): i for i in range(1, words)} | {"<end>": 0}
    unknown = next(iter(known))  # not the end: a prompt of nothing but unknown words is gone on from
    tokenizer = Tokenizer(models.WordLevel(known, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=unknown, pad_token="<end>", eos_token="<end>")
    made.save_pretrained(folder)
