"""The registry of distillation losses: what each is called, does, needs and can be tuned by.

`entry` names the function in the engine that computes it, imported by the worker only. A new loss is
one function there and one line here; pages and recipes pick it up. Another package adds one by an entry point of the
group `retort.losses` (docs/extending.md).
"""

from __future__ import annotations

from core.registry.loss import GROUPS as GROUPS
from core.registry.loss import Loss as Loss
from core.registry.loss import Parameter as Parameter
from core.registry.loss import Value as Value

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
            id="span_likelihood",
            label="Likelihood of spans (another tokenizer)",
            group="text",
            kind="spans",
            entry="core.engine.distil.spans:binary_kl",
            parameters=(
                Parameter(
                    id="softening",
                    label="Softening",
                    default=100.0,
                    low=1.0,
                    high=1000.0,
                    explain="Likelihoods are compared after this root of them is taken: at 1 spans that both find "
                    "unlikely hardly count, at 100 all do.",
                ),
            ),
            summary="For a teacher with another tokenizer: the student learns how likely its teacher finds each piece "
            "of the text, cut where both tokenizers end a token.",
            source="Minixhofer et al. 2025, Universal cross-tokenizer distillation via approximate likelihood matching",
        ),
        Loss(
            id="universal_logits",
            label="Sorted probabilities (another tokenizer)",
            group="text",
            kind="universal",
            entry=f"{_DIVERGENCES}:universal_logits",
            summary="For a teacher with another tokenizer: how sure the student is follows how sure its teacher is "
            "behind the same text. Both sides' probabilities are sorted by size and compared one by one; which "
            "tokens they belong to is not, so combine it with the cross-entropy.",
            source="Boizard et al. 2024, Towards cross-tokenizer distillation: the universal logit distillation loss",
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
