"""Models whose architecture says 'sequence classification' and that give no single class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEASURED_ALL_THE_SAME = "Size, memory and latency are measured all the same."


def unjudged(config: Mapping[str, Any]) -> str | None:
    """Why Retort cannot say how often such a model is right; None where it can, or where it is no classifier.

    Args:
        config: the model's config.json.
    """
    if not is_classifier(config):
        return None
    if config.get("problem_type") == "multi_label_classification":
        return "it gives several classes to one text (multi-label), which Retort does not judge"
    if config.get("problem_type") == "regression" or _classes(config) == 1:
        return "it gives one number (regression or reward), which Retort does not judge"
    return None


def is_classifier(config: Mapping[str, Any]) -> bool:
    """Whether the model gives classes to whole texts."""
    return str((config.get("architectures") or [""])[0]).endswith("ForSequenceClassification")


def _classes(config: Mapping[str, Any]) -> int:
    """As transformers counts them: by names, else by number, else two."""
    names = config.get("id2label")
    if isinstance(names, Mapping) and names:
        return len(names)
    number = config.get("num_labels")
    return number if isinstance(number, int) else 2
