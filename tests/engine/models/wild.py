"""Model folders as they are found in the wild, made here: odd tokenizers, stretched positions, edited configs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from tests.engine.models.zoo import tiny

TEXT = [
    "The river ran slowly past the old mill, and 1834 children threw stones into the water.",
    "It's we're 12,345.67 ALL CAPS snake_case; the council bought the island.",
    "def f(x: int) -> str: return x  # Hello world, the game ended",
] * 8

_EARLIER: dict[str, Any] = {"original_max_position_embeddings": 16, "factor": 4.0}
ROPES: dict[str, tuple[str, dict[str, Any]]] = {
    "linear": ("llama", {"rope_type": "linear", "factor": 2.0}),
    "dynamic": ("llama", {"rope_type": "dynamic", "factor": 4.0}),
    "yarn": ("qwen2", {"rope_type": "yarn", **_EARLIER}),
    "llama3": ("llama", {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0, **_EARLIER}),
    "longrope": (
        "phi3",
        {
            "rope_type": "longrope",
            "short_factor": [1.0] * 4,
            "long_factor": [2.0, 3.0, 4.0, 5.0],
            "original_max_position_embeddings": 32,
        },
    ),
    "base alone": ("mistral", {"rope_type": "default"}),
    "part of a head": ("gpt-neox", {"rope_type": "default", "partial_rotary_factor": 0.5}),
}
"""Kind of rotary positions: an architecture of the zoo that has them, and its parameters. The base is 50000."""


def stretched(name: str) -> PreTrainedModel:
    """A tiny model with such positions."""
    family, rope = ROPES[name]
    more = {"original_max_position_embeddings": 32} if family == "phi3" else {}
    return tiny(family, rope_parameters={**rope, "rope_theta": 50_000.0}, **more)


def edit(folder: Path, name: str = "config.json", drop: tuple[str, ...] = (), **changes: Any) -> Path:
    """Changes keys of a JSON file in the folder."""
    path = folder / name
    found = {k: v for k, v in json.loads(path.read_text()).items() if k not in drop}
    path.write_text(json.dumps(found | changes))
    return folder


def add_tensors(folder: Path, **tensors: torch.Tensor) -> Path:
    """Puts more tensors into the folder's only weights file; '__' in a name stands for a point."""
    path = folder / "model.safetensors"
    found = load_file(path) | {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file(found, path, metadata={"format": "pt"})
    return folder


def without_tensors(folder: Path, *names: str) -> Path:
    """Takes tensors out whose name holds one of `names`."""
    path = folder / "model.safetensors"
    found = {n: t for n, t in load_file(path).items() if not any(part in n for part in names)}
    save_file(found, path, metadata={"format": "pt"})
    return folder


def _rules(kind: str) -> Tokenizer:
    """An untrained tokenizer of one kind of cutting."""
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind == "metaspace":
        found = Tokenizer(models.BPE(unk_token="<unk>"))
        found.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        found.decoder = decoders.Metaspace(prepend_scheme="first")
    elif kind == "words":
        found = Tokenizer(models.WordPiece(unk_token="<unk>"))
        found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        found.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
        found.decoder = decoders.WordPiece()
    elif kind == "unigram":
        found = Tokenizer(models.Unigram())
        found.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        found.pre_tokenizer = pre_tokenizers.Metaspace()
        found.decoder = decoders.Metaspace()
    elif kind == "qwen2":  # the very rules of that class
        found = Tokenizer(models.BPE())
        found.normalizer = normalizers.NFC()
        word = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated")
        found.pre_tokenizer = pre_tokenizers.Sequence([word, pre_tokenizers.ByteLevel(False, use_regex=False)])
        found.decoder = decoders.ByteLevel()
    else:
        found = Tokenizer(models.BPE())
        found.decoder = decoders.ByteLevel()
        single = pre_tokenizers.Digits(individual_digits=True)
        found.pre_tokenizer = pre_tokenizers.Sequence([single, bytes_only]) if kind == "digits" else bytes_only
        if kind == "whole lines":  # merges reach over words
            found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        if kind == "lower case":
            found.normalizer = normalizers.Lowercase()
    return found


def trained(kind: str, specials: tuple[str, ...] = ("<unk>", "<s>", "</s>"), size: int = 380) -> Tokenizer:
    """A tokenizer of the tokenizers library alone, trained on a few sentences."""
    found = _rules(kind)
    given: dict[str, Any] = {"vocab_size": size, "special_tokens": list(specials), "show_progress": False}
    if kind in ("digits", "bytes", "lower case", "whole lines", "qwen2"):
        given["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
    trainer = {
        "words": trainers.WordPieceTrainer,
        "unigram": trainers.UnigramTrainer,
    }.get(kind, trainers.BpeTrainer)(**given, **({"unk_token": "<unk>"} if kind == "unigram" else {}))
    found.train_from_iterator(TEXT, trainer)
    return found


def tokenizer_files(
    model: Path, folder: Path, kind: str, model_type: str = "llama", tokenizer_class: str = "PreTrainedTokenizerFast"
) -> Tokenizer:
    """A copy of the tiny Llama in `model` with a tokenizer of this kind, as `model_type` (llama or qwen2).

    Returns the tokenizer as its own library reads it back from the file.
    """
    shutil.copytree(model, folder)
    if model_type == "qwen2":
        torch.manual_seed(0)
        config = Qwen2Config(
            vocab_size=384,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=128,
        )
        (folder / "model.safetensors").unlink()
        Qwen2ForCausalLM(config).save_pretrained(folder)
    fast = PreTrainedTokenizerFast(tokenizer_object=trained(kind), unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(folder)
    edit(folder, "tokenizer_config.json", tokenizer_class=tokenizer_class)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def framed(before: str = "", after: str = "", kind: str = "bytes") -> PreTrainedTokenizerFast:
    """A tokenizer that puts these special tokens around a text."""
    found = trained(kind)
    around = f"{before}:0 $A:0".removeprefix(":0 ") + (f" {after}:0" if after else "")
    ids = [(token, found.token_to_id(token)) for token in (before, after) if token]
    if ids:
        found.post_processor = processors.TemplateProcessing(single=around, pair=f"{around} $B:1", special_tokens=ids)
    return PreTrainedTokenizerFast(tokenizer_object=found, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
