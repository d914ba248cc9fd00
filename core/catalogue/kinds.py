"""What kind of model a folder holds: from the class its config names and the heads its files hold.

Retort serves models that predict the next token, that fill in masked ones, that write a target to a source (encoder
and decoder), that put whole texts into classes, and encoders without a head. Any other class is refused by name, since
loading it as one of these would drop its head.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

from core.base.errors import RetortError
from core.base.text import one_line
from core.registry.families import FAMILIES, reads

Task = Literal["causal", "masked", "seq2seq", "classification", "encoder"]
"""What a model that Retort serves computes."""
Kind = Task | Literal["unknown"]

SERVED = (
    "Retort works with models that predict the next token (ForCausalLM, LMHeadModel) or masked ones (ForMaskedLM), "
    "write a target to a source (T5 and BART ForConditionalGeneration), classify texts (ForSequenceClassification), or "
    "are encoders without a head."
)
_ENDINGS: tuple[tuple[tuple[str, ...], Kind], ...] = (
    (("ForCausalLM", "LMHeadModel"), "causal"),
    (("ForMaskedLM",), "masked"),
    (("ForSequenceClassification",), "classification"),
)
_OTHERS = {
    "ForTokenClassification": "labels single tokens",
    "ForQuestionAnswering": "marks the answer inside a text",
    "ForMultipleChoice": "chooses between several texts",
    "ForNextSentencePrediction": "tells whether one sentence follows another",
    "ForPreTraining": "has several heads at once",
    "DoubleHeadsModel": "has several heads at once",
    "ForConditionalGeneration": "reads with an encoder, or reads pictures or sound, before it writes",
    "ForImageTextToText": "reads pictures",
    "ForRewardModel": "gives a reward instead of text or classes",
    "RewardModel": "gives a reward instead of text or classes",
    "ForImageClassification": "reads pictures",
    "ForAudioClassification": "reads sound",
}
_PAIRS = frozenset(
    {"t5", "mt5", "umt5", "longt5", "switch_transformers", "bart", "mbart", "pegasus", "pegasus_x", "marian", "led"}
    | {"blenderbot", "blenderbot-small", "bigbird_pegasus", "fsmt", "m2m_100", "nllb-moe", "plbart", "prophetnet"}
    | {"xlm-prophetnet", "encoder-decoder", "speech_to_text", "whisper", "t5gemma", "mvp", "udop"}
)
"""Families made of an encoder and a decoder."""

# Heads by their tensors' names, and the kinds of model that have them.
_HEADS: tuple[tuple[re.Pattern[str], frozenset[Kind]], ...] = (
    (re.compile(r"^(\w+\.)?(lm_head|embed_out)\."), frozenset({"causal", "masked", "seq2seq"})),
    (re.compile(r"^(cls\.predictions|vocab_\w+|generator_\w+|predictions)\."), frozenset({"causal", "masked"})),
    (re.compile(r"^(classifier|pre_classifier|score|classification_head)\."), frozenset({"classification"})),
    (
        re.compile(r"^(\w+\.)?(qa_outputs|v_head|value_head|reward_head|multiple_choice_head|logits_proj)\."),
        frozenset(),
    ),
)


def kind_of(config: dict[str, Any], names: Iterable[str] = ()) -> Kind:
    """The kind, from a parsed config.json and, where it names no class, from the tensors' `names`."""
    named = class_of(config)
    if _pair(config) and not named.endswith("ForCausalLM"):
        known = reads(str(config.get("model_type"))) == "pair"
        return "seq2seq" if known and named.endswith("ForConditionalGeneration") else "unknown"
    if not named:
        return _guessed(config, list(names))
    for endings, kind in _ENDINGS:
        if named.endswith(endings):
            return kind
    several = any(named.endswith(ending) for ending in _OTHERS)
    return "encoder" if named.endswith("Model") and not several else "unknown"


def class_of(config: dict[str, Any]) -> str:
    """The first class that the config names in `architectures`; '' where it names none (null and [] are absence)."""
    named = config.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else ""


def refuse_unserved(config: dict[str, Any], names: Iterable[str]) -> None:
    """Refuses a model that Retort would have to change to load.

    Args:
        config: its parsed config.json.
        names: of all tensors in its files.

    Raises:
        RetortError: the class it names is none Retort serves, or its files hold a head that this class does not have.
    """
    names = list(names)
    kind, named = kind_of(config, names), one_line(class_of(config), 80)
    if kind == "unknown":
        raise RetortError(_not_served(config, named), SERVED)
    for pattern, kinds in _HEADS:
        other = next((name for name in names if pattern.match(name)), None)
        if other is not None and kind not in kinds:
            raise RetortError(
                f"The model's files hold a head ('{one_line(other, 80)}') that the class its config names, "
                f"{named or 'none'}, does not have, so it would be lost.",
                "Write the class the model was saved with into 'architectures' in config.json. " + SERVED,
            )


def _not_served(config: dict[str, Any], named: str) -> str:
    family = one_line(str(config.get("model_type") or "unknown"), 60)
    if not named:
        return f"config.json names no class in 'architectures', and the files of this '{family}' model do not tell it."
    what = next((what for ending, what in _OTHERS.items() if named.endswith(ending)), "")
    if _pair(config):
        what = "is made of an encoder and a decoder"
    return f"This is a {named}, which {what}." if what else f"This is a {named}, a class Retort does not know."


def _pair(config: dict[str, Any]) -> bool:
    """True for an encoder with a decoder. The decoder alone (BartForCausalLM) is none."""
    said = config.get("is_encoder_decoder")
    return said is True or (said is not False and str(config.get("model_type")) in _PAIRS)


def _guessed(config: dict[str, Any], names: list[str]) -> Kind:
    """The kind of a model whose config names no class."""
    family = str(config.get("model_type"))
    heads = {kinds for pattern, kinds in _HEADS if any(pattern.match(name) for name in names)}
    if not heads:  # a tied head is not stored
        return "causal" if reads(family) == "causal" else "encoder" if reads(family) == "encoder" else "unknown"
    if len(heads) > 1 or family not in FAMILIES:
        return "unknown"
    predicts = "causal" in next(iter(heads))
    if predicts:
        return "causal" if reads(family) == "causal" else "masked"
    # `classifier` heads whole texts or single tokens: only the names of a decoder's head tell.
    return "classification" if reads(family) == "causal" and any(n.startswith("score.") for n in names) else "unknown"
