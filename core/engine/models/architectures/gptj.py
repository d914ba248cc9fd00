"""GPT-J: one norm per block, rotary positions, attention and MLP side by side."""

from __future__ import annotations

from dataclasses import replace

from core.engine.models.architectures.base import HEADS, HIDDEN, NEURONS, linear, norms
from core.engine.models.architectures.gpt2 import GPT2

GPTJ = replace(
    GPT2,
    name="GPT-J",
    model_types=("gptj",),
    inside={
        **linear("attn.q_proj", HEADS, HIDDEN),
        **linear("attn.k_proj", HEADS, HIDDEN),
        **linear("attn.v_proj", HEADS, HIDDEN),
        **linear("attn.out_proj", HIDDEN, HEADS),
        **linear("mlp.fc_in", NEURONS, HIDDEN),
        **linear("mlp.fc_out", HIDDEN, NEURONS),
        **norms("ln_1"),
    },
    block_norms=("ln_1",),
    neuron_site="mlp.fc_out",
    head_site="attn.out_proj",
)

FAMILIES = (GPTJ,)
