"""GPT-2: Conv1D stores transposed weights, one projection holds queries, keys and values."""

from __future__ import annotations

from core.engine.models.architectures.base import (
    HEADS,
    HIDDEN,
    NEURONS,
    WHOLE,
    Dim,
    Family,
    Run,
    conv1d,
    embedding,
    linear,
    norms,
)

_QKV: Dim = (Run("heads", 1), Run("heads", 1), Run("heads", 1))


GPT2 = Family(
    name="GPT-2",
    model_types=("gpt2",),
    blocks="h",
    keys={"layers": "n_layer", "hidden": "n_embd", "neurons": "n_inner", "heads": "n_head"},
    inside={
        **conv1d("attn.c_attn", _QKV, HIDDEN),
        **conv1d("attn.c_proj", HIDDEN, HEADS),
        **conv1d("mlp.c_fc", NEURONS, HIDDEN),
        **conv1d("mlp.c_proj", HIDDEN, NEURONS),
        **norms("ln_1", "ln_2"),
    },
    outside={
        **embedding("wte"),
        **embedding("wpe"),
        **norms("ln_f"),
        **linear("lm_head", WHOLE, HIDDEN),
        **linear("score", WHOLE, HIDDEN),
    },
    block_norms=("ln_1", "ln_2"),
    neuron_site="mlp.c_proj",
    head_site="attn.c_proj",
    square=True,
)

FAMILIES = (GPT2,)
