"""Models with an encoder and a decoder through whole runs: weights pruned in both stacks, measured, saved, reloaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoModelForSeq2SeqLM

from core.analysis.doctor import diagnose
from core.base.settings import Settings
from core.catalogue.anatomy import anatomy
from core.registry.measurement import find_metric
from tests.engine.conftest import Memory
from tests.engine.pairs import PAIRS, pair_folder, pair_of

PROMPTS = [
    {
        "prompt": f"Boat {i} has {i * 3} nets, and it is",
        "completion": f"at sea with {i % 7} men." + " Far out." * (i % 3),
    }
    for i in range(40)
]


@pytest.fixture
def pairs_file(home: Settings) -> Path:
    path = home.roots[0] / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in PROMPTS))
    return path


@pytest.mark.parametrize("name", ["flan-t5", pytest.param("bart", marks=pytest.mark.slow)])
def test_a_pair_is_pruned_measured_and_loaded_by_plain_transformers(
    name: str, tiny_llama: Path, home: Settings, pairs_file: Path, run: Callable[..., Memory]
) -> None:
    folder = pair_folder(name, tiny_llama, home.roots[0])
    text = name == "bart"
    evaluation = None if text else {"data": f"path:{pairs_file}", "split": None}
    prune = {"step": "prune", "method": "wanda", "sparsity": 0.5}
    hooks = run(folder, {"step": "evaluate"}, {"step": "measure"}, prune, {"step": "evaluate"}, evaluation=evaluation)
    assert not hooks.failed
    dense, pruned = hooks.results.values()
    for result in (dense, pruned):
        assert result.round_trip is not None
        assert result.round_trip.max_logit_difference == 0.0 and result.round_trip.cached_equals_uncached
    assert {"loss", "perplexity", "prefill_ms", "decode_ms", "kv_bytes_per_token"} <= {
        m.metric for m in dense.measurements
    }
    loss, kl = find_metric(pruned.measurements, "loss"), find_metric(pruned.measurements, "kl_to_teacher")
    assert loss is not None and kl is not None and kl.value > 0
    assert loss.settings["source"].startswith("the first half" if text else "the prompt")
    sparsity = pruned.facts["sparsity_by_matrix"]
    assert set(sparsity) == {"0", "1", "2", "3", "4"}
    assert all(abs(share - 0.5) < 0.03 for layer in sparsity.values() for share in layer.values())
    assert pruned.saved
    again = AutoModelForSeq2SeqLM.from_pretrained(home.home / "candidates" / pruned.key / "model")
    cross = {"bart": "model.decoder.layers.0.encoder_attn.k_proj"}.get(
        name, "decoder.block.0.layer.1.EncDecAttention.k"
    )
    assert float((again.get_submodule(cross).weight == 0).float().mean()) == pytest.approx(0.5)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", PAIRS)
def test_its_anatomy_counts_every_parameter_in_its_place(name: str, tiny_llama: Path, home: Settings) -> None:
    folder = pair_folder(name, tiny_llama, home.roots[0])
    found, model = anatomy(folder), pair_of(name)
    assert not found.obstacle and found.shape.task == "seq2seq"
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert (found.shape.layers, found.shape.encoder_layers, len(found.layers)) == (5, 3, 5)
    assert (found.shape.hidden, found.shape.heads, found.shape.head_dim, found.shape.intermediate) == (32, 4, 8, 48)
    stack = model.get_decoder().get_submodule("layers" if name == "bart" else "block")
    assert [layer.total for layer in found.layers[3:]] == [
        sum(p.numel() for p in b.parameters()) for b in stack.children()
    ]
    assert not found.by_part.get("other")
    verdicts = {v.method: v for v in diagnose(found, 10**13, home)}
    assert all(verdicts[m].possible for m in ("magnitude", "wanda", "sparsegpt"))
