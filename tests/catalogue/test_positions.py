"""How many tokens a model reads: what is said from its config is what transformers then runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t

from core.catalogue.anatomy import anatomy
from core.catalogue.positions import RESERVES, usable_positions
from core.engine.models.context import context_of

SMALL = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 40,
}


@pytest.mark.parametrize(
    ("family", "config", "usable"),
    [
        ("bert", {"max_position_embeddings": 512}, 512),
        ("roberta", {"max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ("roberta", {"max_position_embeddings": 514}, 512),
        ("xlm-roberta", {"max_position_embeddings": 514, "pad_token_id": 0}, 513),
        ("gpt2", {"n_positions": 1024}, 1024),
        ("opt", {"max_position_embeddings": 2048, "pad_token_id": 1}, 2048),
        ("bloom", {}, None),
        ("llama", {"max_position_embeddings": None}, None),
        ("llama", {"max_position_embeddings": -1}, None),
        ("llama", {"max_position_embeddings": "2048"}, None),
        ("llama", {"max_position_embeddings": True}, None),
        ("roberta", {"max_position_embeddings": 2, "pad_token_id": 1}, None),
    ],
)
def test_usable_positions(family: str, config: dict[str, Any], usable: int | None) -> None:
    assert usable_positions(family, config.get) == usable


@pytest.mark.parametrize("family", [*RESERVES, "bert", "opt", "gpt2", "electra", "gpt_neox"])
def test_the_last_position_works_and_the_next_does_not(family: str, tmp_path: Path) -> None:
    """Tables of positions end where it is said; rotary ones (gpt_neox) go on."""
    kind = t.CONFIG_MAPPING[family]
    more: dict[str, Any] = {"gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 40}}.get(family, {})
    if family == "opt":
        more = {"ffn_dim": 16, "word_embed_proj_dim": 16}
    if family == "longformer":
        more = {"attention_window": [8]}
    if family == "xmod":
        more = {"languages": ["en"], "default_language": "en"}
    torch.manual_seed(0)
    model = t.AutoModel.from_config(kind(**{**SMALL, **more, "pad_token_id": 1})).eval()
    model.save_pretrained(tmp_path)
    usable = context_of(model)
    assert usable == anatomy(tmp_path).shape.context == (38 if family in RESERVES else 40)
    with torch.no_grad():
        model(torch.full((1, usable), 5))
        if family == "gpt_neox":
            return
        with pytest.raises((IndexError, RuntimeError)):
            model(torch.full((1, usable + 1), 5))
