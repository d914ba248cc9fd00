"""Writing a model as an ordinary Hugging Face folder that plain transformers loads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedModel

from core.base.durable_files import replacing_folder
from core.base.errors import RetortError
from core.engine.models.older_readers import complete_config
from core.engine.models.packed import packed_weights
from core.engine.models.tokenizer_files import read_otherwise, write_tokenizer

_SHARD_BYTES = "4GB"
_GENERATION = "generation_config.json"
TOKENIZER_NOTE = (
    "transformers 5 replaces this model type's tokenizer by one of its own, whatever its files say. "
    'Load it with transformers.PreTrainedTokenizerFast.from_pretrained("this-folder"), which reads them as they are.'
)


def save_model(
    model: PreTrainedModel, tokenizer: Any, folder: Path, card: dict[str, Any], *, flush: bool = True
) -> int:
    """Writes weights (safetensors, sharded above 4 GB), config, tokenizer, generation config and a model card.

    The folder appears complete or not at all: everything goes to a neighbour under a temporary name
    first. A folder of that name is replaced. Tied weights are written once and stay tied.

    Args:
        model: any transformers model.
        tokenizer: its tokenizer, or None.
        folder: where the model shall be.
        card: plain facts on how the model was made, label to value; shown in README.md in this order.
        flush: makes sure that it is on the disk; not needed for a model that is only read back and thrown away.

    Returns:
        Bytes written.

    Raises:
        RetortError: the disk is full or may not be written to, or the tokenizer that was written reads otherwise.
    """
    folder = Path(folder)
    try:
        with replacing_folder(folder, flush=flush) as temporary:
            with _own_generation(model, temporary), _published_names(model):
                model.save_pretrained(temporary, max_shard_size=_SHARD_BYTES)
            complete_config(temporary, model)
            if tokenizer is not None:
                write_tokenizer(tokenizer, temporary)
                if read_otherwise(tokenizer, temporary):
                    card = card | {"Tokenizer": TOKENIZER_NOTE}
            (temporary / "README.md").write_text(model_card(model, card), encoding="utf-8")
            written = sum(p.stat().st_size for p in temporary.rglob("*") if p.is_file())
    except OSError as error:
        raise RetortError(
            f"The model could not be written to '{folder.name}': {error.strerror or error}.",
            "Free disk space or choose a folder you may write to.",
        ) from error
    return written


@contextmanager
def _own_generation(model: PreTrainedModel, folder: Path) -> Iterator[None]:
    """Writes the model's generation settings as they are, once the block has written the rest.

    Many published models have settings that transformers loads and warns of but refuses to write, such as a
    temperature without sampling. They are the model's own: nothing is put right in them.
    """
    given = getattr(model, "generation_config", None)
    if given is None:
        yield
        return
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = given
    (folder / _GENERATION).write_text(given.to_json_string(use_diff=True), encoding="utf-8")


@contextmanager
def _published_names(model: PreTrainedModel) -> Iterator[None]:
    """Tensors are written under the names their family is published with, as every reader but transformers 5 expects.

    transformers 5 holds a mixture's experts in one tensor, and GPT-NeoX's head under another name. It undoes that for
    models it has loaded so; of one that was cut or loaded from its own names it remembers no conversion, and writes
    its own names, unless it is left to look the conversion up.
    """
    known = model.__dict__.get("_weight_conversions")
    if known or "_weight_conversions" not in model.__dict__:
        yield
        return
    del model._weight_conversions
    try:
        yield
    finally:
        model.__dict__["_weight_conversions"] = known


def model_card(model: PreTrainedModel, card: dict[str, Any]) -> str:
    """README.md: how the model was made, as the facts passed in, and how to load it."""
    facts = "\n".join(f"- {label}: {_text(value)}" for label, value in card.items())
    loader = _loader(model)
    return (
        "---\nlibrary_name: transformers\n---\n"
        f"# {card.get('Name', 'Model made with Retort')}\n\n"
        "## How this model was made\n"
        f"{facts or '- Nothing was recorded.'}\n\n"
        "## How to load it\n"
        f"{_needs(model)}\n"
        f'```python\nfrom transformers import {loader}\nmodel = {loader}.from_pretrained("this-folder")\n```\n'
    )


def _needs(model: PreTrainedModel) -> str:
    if packed_weights(model):
        return "Ordinary transformers loads it where the package torchao is installed as well."
    return "Ordinary transformers loads it; nothing else is needed."


def _loader(model: PreTrainedModel) -> str:
    name = type(model).__name__
    if name.endswith(("ForCausalLM", "LMHeadModel")):
        return "AutoModelForCausalLM"
    if name.endswith("ForConditionalGeneration"):
        return "AutoModelForSeq2SeqLM"
    for task in ("ForMaskedLM", "ForSequenceClassification"):
        if name.endswith(task):
            return f"AutoModel{task}"
    return "AutoModel"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
