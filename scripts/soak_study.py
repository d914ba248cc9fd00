"""The studies of the soak: a tiny model built from its config, a sweep, and a recipe that prunes and distils it."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

from core.base.settings import Settings
from core.recipe.recipe import (
    Calibration,
    Distil,
    Evaluate,
    Evaluation,
    Grid,
    Latency,
    Measure,
    Prune,
    Recipe,
    Sweep,
    Target,
)
from core.store import Store

TIMED = {"prefill_ms", "decode_ms", "peak_memory_bytes", "energy_j_per_token"}
"""Metrics that a clock or the machine's load decides: every other figure must be the same to the bit."""


def build(folder: Path) -> None:
    """Writes a random 4-layer Llama with its tokenizer, and three texts, no two alike."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder.mkdir(parents=True)
    texts = [_text(seed) for seed in (1, 2, 3)]
    for name, text in zip(("calibration", "evaluation", "training"), texts, strict=True):
        (folder / f"{name}.txt").write_text(text)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|endoftext|>", pad_token="<|endoftext|>", model_max_length=256
    )
    config = LlamaConfig(
        vocab_size=384,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=12,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(config)
    model.save_pretrained(folder / "tiny")
    tokenizer.save_pretrained(folder / "tiny")


def studies(folder: Path) -> list[Recipe]:
    """A sweep of four trials, and a recipe of steps whose training writes many checkpoints."""
    common: dict[str, Any] = {
        "model": f"path:{folder / 'tiny'}",
        "calibration": Calibration(data=f"path:{folder / 'calibration.txt'}", split=None, sequences=8, length=64),
        "evaluation": Evaluation(data=f"path:{folder / 'evaluation.txt'}", split=None, tokens=2048, window=64),
        "latency": Latency(prompt=8, new_tokens=2, repeats=1, warmup=0),
        "dtype": "float32",
    }
    grids = (
        Grid(method=("wanda", "sparsegpt"), sparsity=(0.5,)),
        Grid(method=("block_influence",), target=(Target(remove_layers=1),)),
    )
    lesson = Distil.model_validate(
        {
            "data": {"data": f"path:{folder / 'training.txt'}", "split": None, "length": 32},
            "budget": {"steps": 80},
            "batch": 4,
            "held_out": 4,
            "checkpoint_every": 5,
            "evaluate_every": 40,
        }
    )
    steps = (Prune(method="block_influence", target=Target(remove_layers=1)), lesson, Evaluate(), Measure())
    return [
        Recipe(name="Soak sweep", sweep=Sweep(grid=grids, keep="all"), **common),
        Recipe(name="Soak recipe", steps=steps, **common),
    ]


def found(settings: Settings, run_id: str) -> dict[str, dict[str, Any]]:
    """What a run found, by label of the candidate: figures, samples and the hash of the saved weights."""
    store = Store(settings)
    return {
        r.label: {
            **{m.metric: (m.value, m.low, m.high, m.samples) for m in r.measurements if m.metric not in TIMED},
            "weights": [
                hashlib.sha256(p.read_bytes()).hexdigest()
                for p in sorted((store.candidates.folder(r.key) / "model").glob("*.safetensors"))
            ],
        }
        for r in store.candidates.results(run_id=run_id)
    }


def _text(seed: int) -> str:
    """Made-up words with some structure: a few thousand tokens."""
    dice = random.Random(seed)
    words = ["".join(dice.choices("abcdefghilmnoprstu", k=dice.randint(2, 8))) for _ in range(400)]
    return "\n\n".join(" ".join(dice.choices(words, k=60)) + "." for _ in range(160))
