"""BERT, RoBERTa, DistilBERT and those built like them: encoders whose norms follow the residual sum."""

from __future__ import annotations

from core.engine.models.architectures.base import (
    HEADS,
    HIDDEN,
    NEURONS,
    WHOLE,
    Family,
    Shape,
    embedding,
    linear,
    norms,
)

_KEYS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "neurons": "intermediate_size",
    "heads": "num_attention_heads",
}
_EMBEDDINGS: dict[str, Shape] = {
    **embedding("embeddings.word_embeddings"),
    **embedding("embeddings.position_embeddings"),
    **embedding("embeddings.token_type_embeddings"),
    **norms("embeddings.LayerNorm"),
}


BERT = Family(
    name="BERT and RoBERTa",
    model_types=("bert", "roberta", "xlm-roberta", "camembert"),
    blocks="encoder.layer",
    keys=_KEYS,
    inside={
        **linear("attention.self.query", HEADS, HIDDEN),
        **linear("attention.self.key", HEADS, HIDDEN),
        **linear("attention.self.value", HEADS, HIDDEN),
        **linear("attention.output.dense", HIDDEN, HEADS),
        **linear("intermediate.dense", NEURONS, HIDDEN),
        **linear("output.dense", HIDDEN, NEURONS),
        **norms("attention.output.LayerNorm", "output.LayerNorm"),
    },
    outside={
        **_EMBEDDINGS,
        **linear("pooler.dense", HIDDEN, HIDDEN),
        # BERT: masked language model, then classifier
        **linear("cls.predictions.transform.dense", HIDDEN, HIDDEN),
        **norms("cls.predictions.transform.LayerNorm"),
        **linear("cls.predictions.decoder", WHOLE, HIDDEN),
        "cls.predictions.bias": (WHOLE,),
        **linear("classifier", WHOLE, HIDDEN),
        # RoBERTa
        **linear("lm_head.dense", HIDDEN, HIDDEN),
        **norms("lm_head.layer_norm"),
        **linear("lm_head.decoder", WHOLE, HIDDEN),
        "lm_head.bias": (WHOLE,),
        **linear("classifier.dense", HIDDEN, HIDDEN),
        **linear("classifier.out_proj", WHOLE, HIDDEN),
    },
    block_norms=("attention.output.LayerNorm", "output.LayerNorm"),
    neuron_site="output.dense",
    head_site="attention.output.dense",
    square=True,
)
DISTILBERT = Family(
    name="DistilBERT",
    model_types=("distilbert",),
    blocks="transformer.layer",
    keys={"layers": "n_layers", "hidden": "dim", "neurons": "hidden_dim", "heads": "n_heads"},
    inside={
        **linear("attention.q_lin", HEADS, HIDDEN),
        **linear("attention.k_lin", HEADS, HIDDEN),
        **linear("attention.v_lin", HEADS, HIDDEN),
        **linear("attention.out_lin", HIDDEN, HEADS),
        **linear("ffn.lin1", NEURONS, HIDDEN),
        **linear("ffn.lin2", HIDDEN, NEURONS),
        **norms("sa_layer_norm", "output_layer_norm"),
    },
    outside={
        **_EMBEDDINGS,
        **linear("vocab_transform", HIDDEN, HIDDEN),
        **norms("vocab_layer_norm"),
        **linear("vocab_projector", WHOLE, HIDDEN),
        **linear("pre_classifier", HIDDEN, HIDDEN),
        **linear("classifier", WHOLE, HIDDEN),
    },
    block_norms=("sa_layer_norm", "output_layer_norm"),
    neuron_site="ffn.lin2",
    head_site="attention.out_lin",
    square=True,
)

FAMILIES = (BERT, DISTILBERT)
