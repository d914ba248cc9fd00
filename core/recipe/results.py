"""What a trial is and what it yields. Its key is made in core/recipe/trial_keys.py."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core.recipe.recipe import Distil, Prune, Quantise, Trim
from core.registry.measurement import Measurement
from core.registry.methods import HEALED

ENGINE_REVISION = 3
"""Raise when a change makes earlier results differ: their trials are then computed again."""
FIGURES_REVISION = 1
"""Raise when every candidate gets further figures: trials without them are then measured again, while calibration
statistics and sensitivities, which are as they were, still serve. 1: KL to the baseline, agreement, energy."""
TRAINED = frozenset({"distil", "finetune"})
"""Methods of `Trial.method` that train what another one made."""
FILE_BYTES = 128_000_000
"""The largest result file that is read: more than the samples of a thousand million tokens take."""


class Trial(BaseModel):
    """One point of a sweep, or one stage of a recipe. Without a step of its own: the dense baseline."""

    model_config = ConfigDict(frozen=True)
    index: int
    key: str
    label: str
    prune: Prune | None = None
    distil: Distil | None = None
    quantise: Quantise | None = None
    trim: Trim | None = None

    @property
    def step(self) -> Prune | Distil | Quantise | Trim | None:
        """The step that made this model."""
        return self.prune or self.distil or self.quantise or self.trim

    @property
    def dense(self) -> bool:
        """True for the model as it came."""
        return self.step is None

    @property
    def method(self) -> str:
        """Id of the pruning method (with `HEALED` if healed), 'distil', 'finetune', 'quantise', 'trim' or 'dense'.

        What was learnt decides, not what the step is called: the teacher's own texts are its teaching.
        """
        if self.prune is not None:
            return self.prune.method + (HEALED if self.prune.heal != "none" else "")
        if self.distil is not None:
            return "distil" if self.distil.taught else "finetune"
        return self.step.step if self.step is not None else "dense"


class RoundTrip(BaseModel):
    """Saved, reloaded in a fresh process by plain transformers, and compared."""

    max_logit_difference: float
    cached_equals_uncached: bool | None = None
    """`generate` with and without the key-value cache gives the same tokens; None for encoders."""
    peak_memory_bytes: int


class Result(BaseModel):
    """A finished candidate. Written as `result.json` in `home/candidates/KEY/`, then indexed."""

    key: str
    label: str
    model: str
    """The model reference the candidate was made from."""
    method: str
    """As `Trial.method`."""
    prune: dict[str, Any] | None = None
    distil: dict[str, Any] | None = None
    quantise: dict[str, Any] | None = None
    trim: dict[str, Any] | None = None
    parent: str | None = None
    """Key of the candidate it was made from, where that is not the model itself."""
    baseline: bool = False
    baseline_key: str | None = None
    """The dense model measured in the same run, which paired figures refer to."""
    saved: bool = False
    """True where the model itself is kept, in `home/candidates/KEY/model/`."""
    measurements: list[Measurement] = Field(default_factory=list)
    round_trip: RoundTrip | None = None
    facts: dict[str, Any] = Field(default_factory=dict)
    """Shape of the candidate: layers, hidden, heads, sparsity by matrix, ..."""
    notes: list[str] = Field(default_factory=list)
    """Plain sentences on how it was obtained (columns left dense, damping raised, ...)."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)
    """What identifies the bytes behind each reference of the recipe, its model under `model`."""
    versions: dict[str, str] = Field(default_factory=dict)
    seconds: float = 0.0
