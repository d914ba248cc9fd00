"""config.json for readers older than transformers 5: vLLM, llama.cpp and transformers 4 look for keys it has renamed.

transformers 5 keeps everything about rotary positions in `rope_parameters` and the number format in `dtype`. Readers
that look for `rope_theta` and find none take 10000, and a model trained with another base then reads text as noise
from the first token on. So the older keys are written beside the new ones; transformers 5 reads both alike.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

_NOT_SCALING = ("rope_theta", "partial_rotary_factor")
_LOCAL = {"modernbert": "local_rope_theta", "modernbert-decoder": "local_rope_theta"}
_GLOBAL = {"modernbert": "global_rope_theta", "modernbert-decoder": "global_rope_theta"}
_NEOX = ("gpt_neox", "gpt_neox_japanese")
_THREE_FIELDS = ("phi3", "phi4_multimodal")
"""Families whose older reader refuses a `rope_scaling` of more than its type and two lists."""
_EXPERTS = ("qwen3_moe", "qwen3_vl_moe_text")
"""Families whose number of experts was called `num_experts`, and has a default there that is not this model's."""


def with_older_keys(config: dict[str, Any]) -> dict[str, Any]:
    """The parsed config.json with the keys older readers look for. What stands there already stays."""
    found = dict(config)
    if "dtype" in found:
        found.setdefault("torch_dtype", found["dtype"])
    if found.get("model_type") in _EXPERTS and "num_local_experts" in found:
        found.setdefault("num_experts", found["num_local_experts"])
    for key, value in _rope(found).items():
        found.setdefault(key, value)
    if isinstance(found.get("text_config"), dict):
        found["text_config"] = with_older_keys(found["text_config"])
    return found


def complete_config(folder: Path, model: PreTrainedModel | None = None) -> None:
    """Adds the older keys to the config.json that was just written, and whether the head is tied.

    Args:
        model: what was saved; what is true of its head is then stated, not left to each reader's default.
    """
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    if model is not None and model.get_output_embeddings() is not None:
        config["tie_word_embeddings"] = head_is_tied(model)
        if isinstance(config.get("text_config"), dict):
            config["text_config"]["tie_word_embeddings"] = config["tie_word_embeddings"]
    path.write_text(json.dumps(with_older_keys(config), indent=2) + "\n", "utf-8")


def head_is_tied(model: PreTrainedModel) -> bool:
    """Whether the output layer is the word embeddings, by the weights and not by the config."""
    head, words = model.get_output_embeddings(), model.get_input_embeddings()
    return head is not None and getattr(head, "weight", None) is getattr(words, "weight", 0)


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """The older keys that say the same as `rope_parameters`."""
    stated = config.get("rope_parameters")
    if not isinstance(stated, dict) or not stated:
        return {}
    family = str(config.get("model_type"))
    nested = any(isinstance(value, dict) for value in stated.values())
    if not nested:
        return _flat(config, family, stated)
    whole, local = (stated.get(f"{kind}_attention") or {} for kind in ("full", "sliding"))
    found = {_GLOBAL.get(family, "rope_theta"): whole.get("rope_theta"), **_scaling(family, whole)}
    if local.get("rope_theta") is not None:
        found[_LOCAL.get(family, "rope_local_base_freq")] = local["rope_theta"]
    return {key: value for key, value in found.items() if value is not None}


def _flat(config: dict[str, Any], family: str, stated: dict[str, Any]) -> dict[str, Any]:
    found = {"rope_theta": stated.get("rope_theta"), **_scaling(family, stated)}
    if family in _NEOX:
        found |= {"rotary_emb_base": stated.get("rope_theta"), "rotary_pct": stated.get("partial_rotary_factor")}
    else:
        found["partial_rotary_factor"] = stated.get("partial_rotary_factor")
    if stated.get("rope_type") == "longrope":
        found["original_max_position_embeddings"] = stated.get("original_max_position_embeddings")
    return {key: value for key, value in found.items() if value is not None}


def _scaling(family: str, stated: dict[str, Any]) -> dict[str, Any]:
    """`rope_scaling`, under both names that its type had; nothing where positions are not stretched."""
    kind = stated.get("rope_type", "default")
    if kind == "default":
        return {}
    if family in _THREE_FIELDS:
        return {
            "rope_scaling": {"type": kind, **{k: stated[k] for k in ("short_factor", "long_factor") if k in stated}}
        }
    rest = {key: value for key, value in stated.items() if key not in _NOT_SCALING}
    return {"rope_scaling": {**rest, "rope_type": kind, "type": kind}}
