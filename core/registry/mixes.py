"""Named mixes of losses to start from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from core.registry.losses import Value


class Mix(BaseModel):
    """A named set of terms to start from: `(loss, weight, parameters)`."""

    model_config = ConfigDict(frozen=True)
    id: str
    label: str
    summary: str
    terms: tuple[tuple[str, float, dict[str, Value]], ...]


MIXES: dict[str, Mix] = {
    mix.id: mix
    for mix in (
        Mix(
            id="minitron",
            label="Logits only (Minitron)",
            terms=(("logit_kl", 1.0, {}),),
            summary="KL to the teacher at temperature 1 and nothing else: best for a pruned model.",
        ),
        Mix(
            id="hinton",
            label="Soft labels and text",
            terms=(("soft_labels", 0.5, {"temperature": 2.0}), ("cross_entropy", 0.5, {})),
            summary="Half the teacher's softened probabilities, half the text itself.",
        ),
        Mix(
            id="distilbert",
            label="DistilBERT",
            terms=(
                ("soft_labels", 5.0, {"temperature": 2.0}),
                ("cross_entropy", 2.0, {}),
                ("hidden_cosine", 1.0, {"layers": "last"}),
            ),
            summary="5 soft labels at temperature 2, 2 language modelling, 1 direction of the last hidden states.",
        ),
        Mix(
            id="minilm",
            label="Attention relations (MiniLM)",
            terms=(("attention_relations", 1.0, {}),),
            summary="Only the relations inside the last layer: the general way to a small encoder.",
        ),
        Mix(
            id="distillm",
            label="DistiLLM",
            terms=(("skewed_kl", 1.0, {"skew": 0.1}),),
            summary="Skewed KL: steady where the student starts far from the teacher.",
        ),
        Mix(
            id="gkd",
            label="GKD",
            terms=(("jensen_shannon", 1.0, {"preset": "balanced"}),),
            summary="Jensen-Shannon; give it a share of texts the student writes itself.",
        ),
        Mix(
            id="other_tokenizer",
            label="A teacher with another tokenizer",
            terms=(("span_likelihood", 1.0, {}), ("cross_entropy", 0.5, {})),
            summary="How likely the teacher finds each piece of the text, and half the text itself. For two models "
            "whose tokens differ; all other mixes compare token by token.",
        ),
        Mix(
            id="finetune",
            label="Fine-tuning",
            terms=(("cross_entropy", 1.0, {}),),
            summary="The text alone, no teacher.",
        ),
    )
}
