"""Latency: every model in turns, every sample kept, the surroundings recorded. Nothing here asserts a speed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.engine.measure.clock import OtherLoad, elapsed_ms, spread
from core.engine.measure.latency import latency
from core.recipe.recipe import Latency
from core.registry.metrics import METRICS

SPEC = Latency(prompt=12, new_tokens=4, repeats=3, warmup=1)


@pytest.fixture
def model(tiny_llama: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_llama).eval()


def test_every_figure_says_how_it_was_taken(model: Any) -> None:
    found = {m.metric: m for m in latency({"dense": model}, SPEC, InMemoryReporter(), threads=1)["dense"]}
    assert set(found) == {"prefill_ms", "decode_ms", "kv_bytes_per_token"} <= METRICS.keys()
    prefill, decode = found["prefill_ms"], found["decode_ms"]
    assert len(prefill.samples or []) == 3 and len(decode.samples or []) == 3 * 3
    for m in (prefill, decode):
        assert m.samples and m.low is not None and m.high is not None
        assert m.value == pytest.approx(float(np.median(m.samples)))
        assert m.settings["min"] == min(m.samples) <= m.low <= m.value <= m.high
        assert m.settings["threads"] == 1 and m.settings["batch"] == 1 and m.settings["prompt"] == 12
        assert isinstance(m.settings["contended"], bool)
    assert "generate()" in decode.settings["method"]


def test_the_cache_holds_keys_and_values_of_every_layer(model: Any) -> None:
    kv = next(m for m in latency({"m": model}, SPEC, InMemoryReporter())["m"] if m.metric == "kv_bytes_per_token")
    assert kv.value == 2 * 4 * 2 * 8 * 4  # keys and values, layers, key-value heads, head dimension, float32


def test_models_take_turns(model: Any, tiny_llama: Path) -> None:
    other = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    order: list[str] = []
    for name, m in (("a", model), ("b", other)):
        m.model.embed_tokens.register_forward_hook(lambda *_, name=name: order.append(name))
    found = latency({"a": model, "b": other}, SPEC, InMemoryReporter())
    assert order == [n for _ in range(4) for n in ("a", "b") for _ in range(4)]
    assert set(found) == {"a", "b"} and found["a"][0].settings["interleaved_models"] == 2


def test_both_models_read_the_same_tokens_and_continue_greedily(model: Any) -> None:
    seen: list[torch.Tensor] = []
    model.model.embed_tokens.register_forward_hook(lambda _, ids, __: seen.append(ids[0].clone()))
    latency({"m": model}, Latency(prompt=12, new_tokens=4, repeats=1, warmup=0), InMemoryReporter())
    expected = model.generate(seen[0], max_new_tokens=4, min_new_tokens=4, do_sample=False, eos_token_id=None)
    assert torch.cat(seen[:4], dim=1).tolist() == expected[:, :-1].tolist()


def test_a_larger_batch_is_told_apart(model: Any) -> None:
    spec = SPEC.model_copy(update={"batch": 3})
    found = {m.metric: m for m in latency({"m": model}, spec, InMemoryReporter())["m"]}
    assert found["decode_ms"].settings["batch"] == 1 and found["batch_decode_ms"].settings["batch"] == 3
    assert {"batch_prefill_ms", "batch_decode_ms"} <= METRICS.keys()


def test_encoders_have_prefill_only() -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    encoder = BertModel(BertConfig(vocab_size=40, **sizes)).eval()
    assert [m.metric for m in latency({"e": encoder}, SPEC, InMemoryReporter())["e"]] == ["prefill_ms"]


def test_other_architectures_are_timed_alike() -> None:
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=16)).eval()
    kv = latency({"g": gpt2}, SPEC, InMemoryReporter())["g"][-1]
    assert kv.value == 2 * 2 * 16 * 4
    with pytest.raises(RetortError, match="16 tokens in a row|context of 16"):
        latency({"g": gpt2}, SPEC.model_copy(update={"prompt": 13}), InMemoryReporter())


def test_threads_are_restored_even_after_a_failure(model: Any) -> None:
    before = torch.get_num_threads()

    class Failing(InMemoryReporter):
        def checkpoint(self) -> None:
            assert torch.get_num_threads() == before + 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        latency({"m": model}, SPEC, Failing(), threads=before + 1)
    assert torch.get_num_threads() == before


def test_the_work_of_others_is_noticed_and_its_own_is_not() -> None:
    spin = "import time\nend = time.time() + {}\nwhile time.time() < end: pass"
    with OtherLoad() as load:
        other = subprocess.Popen([sys.executable, "-c", spin.format(5)])
        try:
            time.sleep(1.2)
        finally:
            other.kill()
            other.wait()
    assert load.contended and load.settings()["other_cpu_cores"] > 0.2
    start_busy, start_own = OtherLoad._now()[1:]
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    busy, own = (after - before for after, before in zip(OtherLoad._now()[1:], (start_busy, start_own), strict=True))
    assert own >= 0.28 and busy >= own - 0.1  # its own work is in both, so the difference leaves it out


def test_elapsed_counts_milliseconds_and_spread_orders_them() -> None:
    assert elapsed_ms(lambda: time.sleep(0.02), torch.device("cpu")) >= 20.0
    s = spread([5.0, 1.0, 3.0, 2.0, 4.0])
    assert (s["min"], s["median"]) == (1.0, 3.0) and s["p10"] == pytest.approx(1.4) and s["p90"] == pytest.approx(4.6)
