"""Two tiny classifiers of the same classes with different weights, and labelled texts for them."""

from __future__ import annotations

import csv
from pathlib import Path

from core.base.settings import Settings

CLASSES = ("earn", "acq", "<b>ship</b>")
_ENDS = ("an old mill", "stones and rain")
TEXTS = tuple(f"Text {i}: {'the river ran ' * (i % 5)}{_ENDS[i % 2]}" for i in range(40))


def write_classifiers(settings: Settings, tokenizer: Path, names: tuple[str, ...] = ("one", "two")) -> dict[str, str]:
    """References of the models by name; `data` is that of the labelled texts, 40 of them."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    found = {}
    for seed, name in enumerate(names):
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=384,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            num_labels=3,
            max_position_embeddings=64,
            initializer_range=0.6,
            id2label=dict(enumerate(CLASSES if seed == 0 else CLASSES[::-1])),
        )
        folder = settings.home / "models" / name
        BertForSequenceClassification(config).eval().save_pretrained(folder)
        AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
        found[name] = f"path:{folder}"
    table = settings.home / "models" / "texts.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("text", "label"))
        rows.writerows((text, CLASSES[i % 3]) for i, text in enumerate(TEXTS))
    return found | {"data": f"path:{table}"}
