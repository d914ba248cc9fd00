"""A model as far as its files tell before any work, and as each step of a recipe will leave it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from core.base.errors import RetortError
from core.base.untrusted_files import readable
from core.catalogue.anatomy import Anatomy, anatomy
from core.catalogue.checks import read_json
from core.catalogue.exportable import Described, describe
from core.catalogue.references import ResolvedModel
from core.recipe.recipe import Prune
from core.recipe.results import FILE_BYTES
from core.registry.methods import METHODS

_PRUNED = 0.01
"""A matrix with a larger share of zeros counts as masked in training (`core.engine.distil.fixed_masks`)."""
_BIASES = {"llama": ("mlp_bias", "attention_bias"), "qwen3": ("attention_bias",)}
"""Switches of a config that FLAP turns on, to keep the mean of what it removes."""


@dataclass(frozen=True)
class Subject:
    """A model, or what is known of one that a step will make.

    Attributes:
        folder: of the model itself, or of the one it is built like.
        found: anatomy of that folder.
        task: causal, masked, classification, encoder or unknown.
        fingerprint: of the model's bytes; '' for a model that does not exist yet.
        sized: False where a step changed sizes in a way that is known only afterwards.
        masked: True where weights were pruned to zero and are still.
        biased: config switches that a step will have turned on.
        trimmed: True where tokens of the folder's tokenizer will be gone.
    """

    folder: Path
    found: Anatomy
    task: str
    fingerprint: str
    sized: bool = True
    masked: bool = False
    packed: bool = False
    biased: tuple[str, ...] = ()
    trimmed: bool = False

    @property
    def layers(self) -> int:
        return self.found.shape.layers or len(self.found.layers)

    def described(self) -> Described:
        """What decides about exports, once the steps before are done."""
        known = describe(self.folder, self.packed)
        changed: dict[str, object] = dict.fromkeys(self.biased, True)
        if self.task == "classification" and known.shape.task != "classification":
            changed["architectures"] = ["ForSequenceClassification"]
        return Described({**known.config, **changed}, known.vocabulary, known.packed)

    def pruned(self, step: Prune) -> Subject:
        """What is left to know once this step is done."""
        if not METHODS[step.method].structured:
            everything = self.sized and set(range(self.layers)) <= set(step.protect)
            masked = self.masked or (step.nominal > _PRUNED and not everything)
            return replace(self, masked=masked, fingerprint="")
        can = _BIASES.get(self.found.shape.family, ()) if step.method == "width_flap" and step.heal == "none" else ()
        cut = {"mlp_bias": {"neurons"}, "attention_bias": {"heads", "kv_groups"}}
        made = tuple(b for b in can if cut[b] & set(step.parts or ("neurons",)))
        return replace(self, sized=False, fingerprint="", biased=(*self.biased, *made))


def subject_of(resolved: ResolvedModel) -> Subject:
    """Raises RetortError where the folder is no model Retort opens."""
    found = anatomy(resolved.folder)
    return Subject(
        resolved.folder,
        found,
        found.shape.task,
        resolved.fingerprint,
        masked=resolved.reference.kind == "run" and _was_masked(resolved.folder),
    )


def _was_masked(folder: Path) -> bool:
    """Whether the candidate in this folder has pruned weights, by its own result."""
    path = folder.parent / "result.json"
    try:
        with readable(path):
            result = read_json(path, FILE_BYTES)
        shares = [float(result.get("facts", {}).get("sparsity_pruned", 0.0))]
        measured = result.get("measurements", [])
        if result.get("method") != "quantise":
            shares += [float(m["value"]) / 100 for m in measured if m["metric"] == "sparsity_pruned"]
    except (RetortError, ValueError, TypeError, KeyError, AttributeError):
        return False
    return max(shares) > _PRUNED
