"""The registry of distillation losses: what each is called, does, needs and can be tuned by.

`entry` names the function in the engine that computes it, imported by the worker only. A new loss is
one function there and one line here; pages and recipes pick it up. Another package adds one by an entry point of the
group `retort.losses` (docs/extending.md).

Contracts of `entry` by `kind`. All return one float per unit (token, or example when classifying):
    distribution  `f(student, teacher, **parameters) -> (n,)` on log-probabilities `(n, classes)`. The caller
                  divides logits by the temperature first and multiplies the result by its square.
    logits        `f(student, teacher, **parameters) -> (n,)` on raw logits `(n, classes)`
    labels        `f(student, targets) -> (n,)` on raw logits `(n, classes)` and gold classes `(n,)`
    states        `f(student, teacher, **parameters) -> (n,)` on hidden states `(n, width)` of equal width
    relations     `f(student, teacher, allowed) -> (batch, length)` on one projection's relation vectors
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["distribution", "logits", "labels", "states", "relations"]
Group = Literal["logit", "soft", "feature", "task"]
Value = float | str

GROUPS: dict[Group, str] = {
    "soft": "Soft labels",
    "logit": "Logit matching",
    "feature": "Features inside the model",
    "task": "The task itself",
}


class Parameter(BaseModel):
    """One number or one choice of a loss. Numbers have `low` and `high`; choices have `choices` (id to label)."""

    model_config = ConfigDict(frozen=True)
    id: str
    label: str
    default: Value
    explain: str
    low: float | None = None
    high: float | None = None
    choices: dict[str, str] = {}

    def refusal(self, value: Value) -> str | None:
        """Why `value` cannot be used, or None where it can."""
        if self.choices:
            known = ", ".join(self.choices)
            return None if value in self.choices else f"'{self.id}' is one of {known}; got '{value}'"
        assert self.low is not None and self.high is not None
        if isinstance(value, str) or not self.low <= value <= self.high:
            return f"'{self.id}' goes from {self.low:g} to {self.high:g}; got {value}"
        return None


class Loss(BaseModel):
    """One way to say how far the student is from what it should learn."""

    model_config = ConfigDict(frozen=True)
    id: str
    label: str
    group: Group
    kind: Kind
    entry: str
    summary: str
    source: str
    parameters: tuple[Parameter, ...] = ()

    @property
    def inline(self) -> str:
        """The label inside a sentence: names of people keep their capital."""
        return self.label if self.id == "jensen_shannon" else self.label[0].lower() + self.label[1:]

    @property
    def needs_teacher(self) -> bool:
        return self.kind != "labels"

    @property
    def needs_live_teacher(self) -> bool:
        """True where a stored top-k of the teacher's probabilities is not enough."""
        return self.kind in ("logits", "states", "relations")

    def settings(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """`given` completed with the defaults. Raises ValueError with a sentence for a wrong name or value."""
        known = {p.id: p for p in self.parameters}
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"'{self.id}' has no '{name}'; it takes {', '.join(known) or 'no parameters'}")
            if refusal := known[name].refusal(value):
                raise ValueError(refusal)
        return {p.id: given.get(p.id, p.default) for p in self.parameters}


_TEMPERATURE = Parameter(
    id="temperature",
    label="Temperature",
    default=1.0,
    low=0.1,
    high=20.0,
    explain="Above 1 the teacher's smaller probabilities count more. The loss is multiplied by its square, so "
    "that the gradient keeps its size.",
)
_LAYERS = Parameter(
    id="layers",
    label="Layers compared",
    default="every",
    choices={"every": "Every student layer", "last": "The last student layer"},
    explain="Each student layer is compared with the teacher's layer it was made from.",
)
JENSEN_SHANNON: dict[str, tuple[float, str]] = {
    "forward": (0.0, "Forward KL: cover all the teacher would say"),
    "mostly_forward": (0.1, "Mostly forward"),
    "balanced": (0.5, "Balanced: symmetric"),
    "mostly_reverse": (0.9, "Mostly reverse"),
    "reverse": (1.0, "Reverse KL: say only what the teacher would"),
}
"""Preset to (beta, label). The loss is divided by beta (1 - beta), so both ends are the plain divergences."""

_DIVERGENCES = "core.engine.distil.divergences"
_FEATURES = "core.engine.distil.features"

LOSSES: dict[str, Loss] = {
    loss.id: loss
    for loss in (
        Loss(
            id="soft_labels",
            label="Soft labels",
            group="soft",
            kind="distribution",
            entry=f"{_DIVERGENCES}:forward_kl",
            parameters=(_TEMPERATURE.model_copy(update={"default": 2.0}),),
            summary="The student learns the teacher's whole probability over the next token, softened by a "
            "temperature. T\u00b2 KL(teacher, student).",
            source="Hinton et al. 2015, Distilling the knowledge in a neural network",
        ),
        Loss(
            id="logit_mse",
            label="Logit matching (squared error)",
            group="logit",
            kind="logits",
            entry=f"{_DIVERGENCES}:logit_mse",
            summary="The student copies the teacher's raw scores, each centred on its mean: mean squared error "
            "over the vocabulary. It equals twice the soft labels at a very high temperature.",
            source="Ba and Caruana 2014, Do deep nets really need to be deep?; Hinton et al. 2015, eq. 4",
        ),
        Loss(
            id="logit_kl",
            label="Logit matching (KL at temperature 1)",
            group="logit",
            kind="distribution",
            entry=f"{_DIVERGENCES}:forward_kl",
            summary="The student learns the teacher's probabilities as they are. What Minitron uses alone.",
            source="Muralidharan et al. 2024, Compact language models via pruning and distillation",
        ),
        Loss(
            id="reverse_kl",
            label="Reverse KL",
            group="soft",
            kind="distribution",
            entry=f"{_DIVERGENCES}:reverse_kl",
            parameters=(_TEMPERATURE,),
            summary="Punishes what the student says and the teacher would not; suits a student too small to "
            "cover everything. KL(student, teacher).",
            source="Gu et al. 2023, MiniLLM",
        ),
        Loss(
            id="jensen_shannon",
            label="Jensen-Shannon",
            group="soft",
            kind="distribution",
            entry=f"{_DIVERGENCES}:jensen_shannon",
            parameters=(
                Parameter(
                    id="preset",
                    label="Balance",
                    default="balanced",
                    choices={k: label for k, (_, label) in JENSEN_SHANNON.items()},
                    explain="From forward KL, which covers everything the teacher would say, to reverse KL, "
                    "which avoids what it would not.",
                ),
                _TEMPERATURE,
            ),
            summary="Between forward and reverse KL. Scaled so that both ends are exactly those two.",
            source="Agarwal et al. 2023, On-policy distillation of language models (GKD), rescaled",
        ),
        Loss(
            id="skewed_kl",
            label="Skewed KL",
            group="soft",
            kind="distribution",
            entry=f"{_DIVERGENCES}:skewed_kl",
            parameters=(
                Parameter(
                    id="skew",
                    label="Skew",
                    default=0.1,
                    low=0.0,
                    high=0.9,
                    explain="Share of the teacher mixed into the student before they are compared: steadier "
                    "gradients where the student is far off.",
                ),
                _TEMPERATURE,
            ),
            summary="Forward KL against a student with some teacher mixed in.",
            source="Ko et al. 2024, DistiLLM, eq. 4",
        ),
        Loss(
            id="skewed_reverse_kl",
            label="Skewed reverse KL",
            group="soft",
            kind="distribution",
            entry=f"{_DIVERGENCES}:skewed_reverse_kl",
            parameters=(
                Parameter(
                    id="skew",
                    label="Skew",
                    default=0.1,
                    low=0.0,
                    high=0.9,
                    explain="Share of the student mixed into the teacher before they are compared.",
                ),
                _TEMPERATURE,
            ),
            summary="Reverse KL against a teacher with some student mixed in.",
            source="Ko et al. 2024, DistiLLM, eq. 5",
        ),
        Loss(
            id="hidden_mse",
            label="Hidden states (squared error)",
            group="feature",
            kind="states",
            entry=f"{_FEATURES}:hidden_mse",
            parameters=(
                _LAYERS,
                Parameter(
                    id="scale",
                    label="Scale",
                    default="plain",
                    choices={"plain": "As it is", "relative": "Relative to the teacher's size"},
                    explain="Relative divides by the teacher's mean square at each token, so that a few huge "
                    "states do not drown the rest.",
                ),
            ),
            summary="The student's layers copy the vectors inside the teacher's layers. A linear projection is "
            "learned where the widths differ.",
            source="Romero et al. 2014, FitNets; Jiao et al. 2019, TinyBERT, eq. 8",
        ),
        Loss(
            id="hidden_cosine",
            label="Hidden states (direction)",
            group="feature",
            kind="states",
            entry=f"{_FEATURES}:hidden_cosine",
            parameters=(_LAYERS,),
            summary="The student's layers point the same way as the teacher's: 1 minus the cosine. A linear "
            "projection is learned where the widths differ.",
            source="Sanh et al. 2019, DistilBERT",
        ),
        Loss(
            id="attention_relations",
            label="Attention relations",
            group="feature",
            kind="relations",
            entry=f"{_FEATURES}:relation_kl",
            parameters=(_LAYERS.model_copy(update={"default": "last"}),),
            summary="The student's queries, keys and values relate to each other as the teacher's do. Works with "
            "any width and number of heads.",
            source="Wang et al. 2020, MiniLMv2, eq. 4-6",
        ),
        Loss(
            id="cross_entropy",
            label="Cross-entropy on the text",
            group="task",
            kind="labels",
            entry=f"{_DIVERGENCES}:cross_entropy",
            summary="The student learns the right next token (or class) itself; no teacher. Alone it is fine-tuning.",
            source="Shannon 1948",
        ),
    )
}


def loss(loss_id: str) -> Loss | None:
    """The loss, or None for an id this version does not know."""
    return LOSSES.get(loss_id)
