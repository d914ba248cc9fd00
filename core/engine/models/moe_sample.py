"""The sample mixture of experts: each MLP of a Llama-like model copied into every expert of a Mixtral.

All experts of a layer are equal and the weights of the chosen ones add up to one, so the result
computes the same function as its source with more parameters: a known answer for tests of expert
pruning. `python -m core.engine.models.moe_sample SOURCE TARGET`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModelForCausalLM, MixtralConfig, MixtralForCausalLM

from core.base.errors import RetortError
from core.base.text import visible

EXPERTS = 4
ACTIVE = 2
_SAME = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "head_dim"),
    *("num_key_value_heads", "hidden_act", "max_position_embeddings", "rms_norm_eps", "rope_parameters"),
    *("tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id", "initializer_range"),
)
_COPIED = ("model.embed_tokens", "model.norm", "input_layernorm", "post_attention_layernorm", "self_attn")


def make_moe(source: Path, target: Path, experts: int = EXPERTS, active: int = ACTIVE, seed: int = 0) -> int:
    """Writes the mixture to `target` with the source's tokenizer; returns its number of parameters.

    The routers are random (`seed`), so tokens really take different experts.

    Raises:
        RetortError: the source is no Llama-like model without biases.
    """
    dense = AutoModelForCausalLM.from_pretrained(source, dtype="auto")
    config = dense.config
    if config.model_type != "llama" or config.attention_bias or config.mlp_bias:
        raise RetortError(
            f"A mixture of experts is made from a Llama model without biases, not from '{config.model_type}'.",
            "Use sample:smollm2-135m.",
        )
    moe = MixtralForCausalLM(_mixtral_config(config, experts, active))
    moe = moe.bfloat16() if dense.dtype == torch.bfloat16 else moe.float()
    weights = dict(dense.named_parameters())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in moe.named_parameters():
            if any(part in name for part in _COPIED) or name == "lm_head.weight":
                parameter.copy_(weights[name])
        for layer, block in zip(dense.model.layers, moe.model.layers, strict=True):
            _fill(block.mlp, layer.mlp, generator)
    moe.generation_config = dense.generation_config
    moe.save_pretrained(target)
    for pattern in ("tokenizer*", "chat_template*", "special_tokens_map.json"):
        for path in source.glob(pattern):
            shutil.copy2(path, target / path.name)
    return sum(p.numel() for p in moe.parameters())


def _fill(mixture: nn.Module, mlp: nn.Module, generator: torch.Generator) -> None:
    """Copies one MLP into all experts and draws the router."""
    gate, up, down = (getattr(mlp, name).weight for name in ("gate_proj", "up_proj", "down_proj"))
    fused = dict(mixture.named_parameters())
    both = fused["experts.gate_up_proj"]  # (experts, 2 * intermediate, hidden)
    both.copy_(torch.cat([gate, up]).expand_as(both))
    last = fused["experts.down_proj"]  # (experts, hidden, intermediate)
    last.copy_(down.expand_as(last))
    router = fused["gate.weight"]  # (experts, hidden)
    router.copy_(torch.randn(router.shape, generator=generator) * 0.02)


def _mixtral_config(dense: object, experts: int, active: int) -> MixtralConfig:
    kept = {name: getattr(dense, name) for name in _SAME}
    return MixtralConfig(**kept, num_local_experts=experts, num_experts_per_tok=active, sliding_window=None)


def main(arguments: list[str]) -> int:
    """The child process of `fetch_sample`; the last line of stderr says what went wrong."""
    try:
        make_moe(Path(arguments[0]), Path(arguments[1]))
    except RetortError as error:
        sys.stderr.write(visible(f"\n{error}\n"))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
