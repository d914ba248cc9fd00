"""Prefill and per-token latency, models interleaved so that a slow moment of the machine hits all alike.

Decoding is a direct loop over the model's own forward with a growing key-value cache and greedy
choice: what the model costs, without the bookkeeping of `generate()`. The figures say so.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, EncoderDecoderCache, PreTrainedModel

from core.base.errors import Impossible, RetortError
from core.base.progress import Reporter
from core.engine.measure.clock import OtherLoad, elapsed_ms, spread
from core.engine.measure.devices import machine_name
from core.engine.measure.patience import ACCEPTED, BLOCKS, Block, Patience, error_of, kept, surroundings
from core.engine.models.context import context_of
from core.engine.models.source_target import start_token
from core.recipe.recipe import Latency
from core.registry.formatting import percent
from core.registry.measurement import Measurement

_LOOP = "direct forward loop with a dynamic key-value cache, greedy; generate() adds its own overhead"


@dataclass
class Times:
    """Milliseconds of one model at one batch size."""

    prefill: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    """One entry a new token."""
    cache_bytes: float | None = None
    """Bytes of key-value cache per token and sequence, at the last length reached."""
    cache_tokens: int = 0


def latency(
    models: Mapping[str, PreTrainedModel],
    spec: Latency,
    reporter: Reporter,
    *,
    threads: int | None = None,
    seed: int = 0,
    patience: Patience | None = None,
) -> dict[str, list[Measurement]]:
    """Latency of each of `models` (name -> model), taken in turns: A B A B.

    Args:
        spec: prompt length, new tokens, repeats, warm-up, batch. Batch 1 is always measured; a larger
            one is measured too, under `batch_prefill_ms` and `batch_decode_ms`.
        threads: fixed for the whole measurement; None leaves PyTorch's setting. Restored afterwards.
        seed: of the random prompt, which is the same for all models.
        patience: waits for a quiet machine and adds rounds until the error is acceptable; None: one block of rounds,
            whatever the machine does.
    Returns:
        For each name: prefill_ms, decode_ms (median; low and high are the 10th and 90th percentile) and
        kv_bytes_per_token. Encoders, which write no tokens, have prefill only.
    Raises:
        RetortError: no model, or prompt and new tokens do not fit a model's context.
    """
    if not models:
        raise RetortError("There is no model to time.", "Choose at least one model.")
    generates = all(m.can_generate() for m in models.values())
    new_tokens = spec.new_tokens if generates else 0
    _fits(models, spec.prompt + new_tokens)
    vocabulary = min(int(m.config.get_text_config().vocab_size) for m in models.values())
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        found: dict[str, list[Measurement]] = {name: [] for name in models}
        for batch in dict.fromkeys((1, spec.batch)):
            generator = torch.Generator().manual_seed(seed)
            prompt = torch.randint(0, vocabulary, (batch, spec.prompt), generator=generator)
            blocks = _blocks(models, prompt, new_tokens, spec, reporter, patience)
            around = surroundings(blocks)
            for name, model in models.items():
                found[name] += _measurements(model, _joined(blocks, name), spec, batch, len(models), around)
        return found
    finally:
        torch.set_num_threads(before)


def _blocks(
    models: Mapping[str, PreTrainedModel],
    prompt: Tensor,
    new_tokens: int,
    spec: Latency,
    reporter: Reporter,
    patience: Patience | None,
) -> list[Block]:
    """Blocks of rounds: with patience, until one was taken on a quiet machine and the error is acceptable."""
    blocks: list[Block] = []
    for _ in range(1 if patience is None else BLOCKS):
        if patience is not None:
            patience.wait(reporter)
        with OtherLoad() as load:
            times = _interleaved(models, prompt, new_tokens, spec, reporter)
        blocks.append(Block(times, load))
        error = _error(blocks, models)
        if error <= ACCEPTED and not (load.contended and patience is not None and patience.seconds > 0.0):
            return blocks
    if patience is not None:
        busy = " Other work kept the machine busy." if surroundings(blocks)["contended"] else ""
        waited = f", after {patience.waited:.0f} s of waiting" if patience.waited >= 1.0 else ""
        said = "not known" if math.isinf(error) else f"{percent(error)}, above {percent(ACCEPTED)}"
        if error > ACCEPTED:
            reporter.event(
                "warning",
                f"The error of these times stays {said}: {BLOCKS} times {spec.repeats} rounds "
                f"were taken{waited}.{busy} They can be timed again.",
            )
    return blocks


def _joined(blocks: Sequence[Block], name: str) -> Times:
    """The rounds that count, one after the other."""
    all_of = Times()
    for block in kept(blocks):
        once: Times = block.times[name]
        all_of.prefill += once.prefill
        all_of.decode += once.decode
        all_of.cache_bytes, all_of.cache_tokens = once.cache_bytes, once.cache_tokens
    return all_of


def _error(blocks: Sequence[Block], models: Mapping[str, PreTrainedModel]) -> float:
    times = [_joined(blocks, name) for name in models]
    rounds = len(times[0].prefill)
    series = [[t.prefill for t in times], *([[t.decode for t in times]] if all(t.decode for t in times) else [])]
    return max(error_of(s, rounds) for s in series)


@torch.inference_mode()
def _interleaved(
    models: Mapping[str, PreTrainedModel], prompt: Tensor, new_tokens: int, spec: Latency, reporter: Reporter
) -> dict[str, Times]:
    times = {name: Times() for name in models}
    rounds = spec.warmup + spec.repeats
    for turn in range(rounds):
        for name, model in models.items():
            reporter.checkpoint()
            once = run_once(model, prompt.to(model.device), new_tokens)
            if turn >= spec.warmup:
                times[name].prefill += once.prefill
                times[name].decode += once.decode
                times[name].cache_bytes, times[name].cache_tokens = once.cache_bytes, once.cache_tokens
        reporter.progress(turn + 1, rounds, f"Timed round {turn + 1} of {rounds}, {prompt.shape[0]} at a time.")
    return times


def run_once(model: PreTrainedModel, prompt: Tensor, new_tokens: int) -> Times:
    """One prefill of prompt (batch, tokens), then `new_tokens` one by one (the first comes with the prefill).

    An encoder-decoder reads the prompt as its source, and its decoder starts from its start token.
    """
    out: Any = None
    pair = bool(model.config.is_encoder_decoder)
    inputs: dict[str, Any] = {"input_ids": prompt}
    if pair:
        inputs["decoder_input_ids"] = torch.full_like(prompt[:, :1], start_token(model))
    if new_tokens:
        inputs["use_cache"] = True
        if "logits_to_keep" in inspect.signature(model.forward).parameters:
            inputs["logits_to_keep"] = 1  # only the last position's logits are needed, as in generation

    def forward() -> None:
        nonlocal out
        out = model(**inputs)

    times = Times(prefill=[elapsed_ms(forward, model.device)])
    for _ in range(new_tokens - 1):
        chosen = out.logits[:, -1:].argmax(dim=-1)  # (batch, 1)
        if pair:
            inputs.pop("input_ids", None)
            inputs |= {"encoder_outputs": (out.encoder_last_hidden_state,), "decoder_input_ids": chosen}
        else:
            inputs["input_ids"] = chosen
        inputs["cache"] = out.cache
        times.decode.append(elapsed_ms(forward, model.device))
    if new_tokens:
        times.cache_tokens = prompt.shape[1] + new_tokens - (0 if pair else 1)
        times.cache_bytes = cache_bytes(out.cache) / (times.cache_tokens * prompt.shape[0])
    return times


def cache_bytes(cache: Cache) -> int:
    """Bytes of keys and values held by `cache`."""
    parts = (
        (cache.self_attention_cache, cache.cross_attention_cache)
        if isinstance(cache, EncoderDecoderCache)
        else (cache,)
    )
    layers = [layer for part in parts for layer in part.layers]
    held = [t for layer in layers for t in (getattr(layer, "keys", None), getattr(layer, "values", None))]
    return sum(t.numel() * t.element_size() for t in held if isinstance(t, Tensor))


def _fits(models: Mapping[str, PreTrainedModel], tokens: int) -> None:
    for name, model in models.items():
        context = context_of(model)
        if context is not None and tokens > context:
            raise Impossible(
                f"Timing needs {tokens} tokens in a row, and {name} has a context of {context}.",
                "Choose a shorter prompt or fewer new tokens in the latency settings.",
            )


def _measurements(
    model: PreTrainedModel, times: Times, spec: Latency, batch: int, interleaved: int, around: Mapping[str, Any]
) -> list[Measurement]:
    common: dict[str, Any] = {"device": model.device.type, "dtype": str(model.dtype).removeprefix("torch.")}
    record = {
        "prompt": spec.prompt,
        "batch": batch,
        "repeats": spec.repeats,
        "rounds": len(times.prefill),
        "warmup": spec.warmup,
        "threads": torch.get_num_threads(),
        "machine": machine_name(model.device),
        "interleaved_models": interleaved,
        "interval": "10th to 90th percentile",
        **around,
    }
    prefix = "" if batch == 1 else "batch_"
    found = [_timing(f"{prefix}prefill_ms", times.prefill, {**record, "samples": "each prefill, ms"}, common)]
    if times.decode:
        record |= {"new_tokens": spec.new_tokens, "method": _LOOP, "samples": "each new token, ms"}
        found.append(_timing(f"{prefix}decode_ms", times.decode, record, common))
    if times.cache_bytes and batch == 1:
        settings = {"tokens": times.cache_tokens, "how": "bytes of the cache divided by the tokens in it"}
        found.append(
            Measurement(metric="kv_bytes_per_token", value=times.cache_bytes, unit="B", settings=settings, **common)
        )
    return found


def _timing(metric: str, times: list[float], settings: dict[str, Any], common: dict[str, Any]) -> Measurement:
    s = spread(times)
    return Measurement(
        metric=metric,
        value=s["median"],
        unit="ms",
        low=s["p10"],
        high=s["p90"],
        settings={**settings, "min": s["min"]},
        samples=times,
        **common,
    )
