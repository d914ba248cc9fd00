"""The live operation `preview`: what pruning a model by so much would roughly do, within two seconds.

Everything is computed on the model itself with the method itself; what makes it a preview is the little text
it is judged on, the little text it is calibrated on, and that size and latency are worked out, not measured.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pydantic import ValidationError
from transformers import PreTrainedModel

from core.analysis.statistics import paired_interval
from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.catalogue.contents import content_of
from core.engine.live.generate import encoded, next_tokens, text_of
from core.engine.live.host import Host
from core.engine.live.warm import Warm, previewable, probe_losses, warm
from core.engine.models.chunked_head import ChunkedHead
from core.engine.prune.statistics import Statistics
from core.engine.prune.structured import prune_structure
from core.recipe.heal import heals
from core.recipe.recipe import Corpus, Prune
from core.registry.methods import METHODS

MOST_TOKENS = 64


class Watched(InMemoryReporter):
    """Lets long work end when nobody waits for it."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.checkpoint = host.checkpoint  # type: ignore[method-assign]


def _warm_key(texts: dict[str, Any], host: Host) -> str:
    """Which texts a model is ready for: as they are now, not as they were when somebody asked first."""
    read = {k: content_of(str(Corpus.model_validate(v).data), host.settings, host.actor) for k, v in texts.items()}
    return f"preview {json.dumps([texts, read], sort_keys=True)}"


def preview(host: Host, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Events: `stage` (a sentence, while something is prepared for the first time), `figures`, then `text`.

    Args:
        request: `model` (reference), `prune` (a prune step of a recipe), `prompt`, `tokens` to write, and
            optionally `calibration` and `evaluation` (corpora).

    `figures` has the probe loss with the paired change and its 95 % interval (nats), bytes on disk and
    milliseconds a token, each also for the dense model. `text` has `pruned` and `dense`, growing.

    Raises:
        RetortError: a step that cannot be previewed, or a model or text that cannot be used.
    """
    prune, tokens = _prune(request), max(1, min(int(request.get("tokens", 20)), MOST_TOKENS))
    prompt = str(request.get("prompt", ""))[: host.settings.limits.prompt_characters].strip()
    reporter = Watched(host)
    reference = str(request["model"])
    texts: dict[str, Any] = {k: request[k] for k in ("calibration", "evaluation") if k in request}
    kept, key = host.beside(reference), _warm_key(texts, host)
    if key not in kept:
        yield {"stage": "Loading the model and measuring it as it is."}
        kept[key] = warm(host.model(reference), host.resolved(reference), texts, host.settings, host.actor)
    ready: Warm = kept[key]
    if METHODS[prune.method].needs and not ready.is_calibrated(prune):
        yield {"stage": "Calibrating on a little text, once."}
    found = ready.statistics_of(prune, host.settings, reporter)
    if not METHODS[prune.method].structured and not ready.is_ranked(prune):
        yield {"stage": f"Ranking the weights by {METHODS[prune.method].label}, once."}
        ready.rank(prune, found, reporter)
    if ready.token_seconds is None:
        yield {"stage": "Timing a few tokens."}
        ready.token_seconds = _token_seconds(ready)
    with _pruned(ready, prune, found, reporter) as (model, logits):
        yield {"figures": _figures(ready, prune, model, probe_losses(logits, ready.probe))}
        if not prompt:
            return
        pruned = ""
        for pruned in _text(model, ready, prompt, tokens, host):
            yield {"text": {"pruned": pruned, "dense": ready.texts.get((prompt, tokens))}}
    if (prompt, tokens) not in ready.texts:
        dense = ""
        for dense in _text(ready.loaded.model, ready, prompt, tokens, host):
            yield {"text": {"pruned": pruned, "dense": dense}}
        ready.keep_text((prompt, tokens), dense)
    yield {"text": {"pruned": pruned, "dense": ready.texts[prompt, tokens]}}


def _prune(request: dict[str, Any]) -> Prune:
    try:
        prune = Prune.model_validate(request["prune"])
    except (ValidationError, KeyError) as error:
        raise RetortError("This step cannot be run.", "Choose another method or amount.") from error
    if not previewable(prune) or prune.mode != "joint" or prune.allocation != "uniform":
        raise RetortError(
            f"{prune.label()} takes too long for a preview.", "Measure it properly, or preview another method."
        )
    return prune


@contextmanager
def _pruned(
    ready: Warm, prune: Prune, found: Statistics | None, reporter: InMemoryReporter
) -> Iterator[tuple[PreTrainedModel, ChunkedHead]]:
    """The pruned model: the dense one masked in place, or a smaller one beside it."""
    if METHODS[prune.method].structured:
        smaller, _ = prune_structure(ready.loaded, prune, found, ready.calibration, reporter)
        yield smaller, ChunkedHead(smaller, ready.probe)
    else:
        with ready.masked(prune, found):
            yield ready.loaded.model, ready.logits


def _text(model: PreTrainedModel, ready: Warm, prompt: str, tokens: int, host: Host) -> Iterator[str]:
    written: list[int] = []
    for token, _ in next_tokens(model, encoded(ready.loaded, prompt, tokens), tokens):
        host.checkpoint()
        written.append(token)
        yield text_of(ready.loaded, written)


def _token_seconds(ready: Warm) -> float:
    """Seconds of the fastest of a few greedy tokens of the dense model: what runs beside it can only add."""
    steps = [seconds for _, seconds in next_tokens(ready.loaded.model, ready.probe[:1, :16], 8)]
    return min(steps[1:] or steps or [0.0])


@torch.no_grad()
def _figures(ready: Warm, prune: Prune, model: PreTrainedModel, losses: list[float]) -> dict[str, Any]:
    dense = ready.loaded.model
    before, after = (sum(p.numel() for p in m.parameters()) for m in (dense, model))
    change = paired_interval(losses, ready.dense_losses)
    milliseconds = 1e3 * (ready.token_seconds or 0.0)
    return {
        "label": prune.label(),
        "loss": statistics.mean(losses),
        "dense_loss": statistics.mean(ready.dense_losses),
        "change": change.value,
        "low": change.low,
        "high": change.high,
        "windows": len(losses),
        "probe_tokens": ready.probe.numel(),
        "parameters": after,
        "dense_parameters": before,
        "bytes": after * dense.dtype.itemsize,
        "dense_bytes": before * dense.dtype.itemsize,
        # One token at a time reads every parameter once, so time goes with their number.
        "token_ms": milliseconds * after / before,
        "dense_token_ms": milliseconds,
        "dtype": str(dense.dtype).removeprefix("torch."),
        "heals": heals(prune.method) and prune.heal == "none",  # a measurement of it usually is
        "calibration_tokens": ready.calibration.numel() if METHODS[prune.method].calibrated else 0,
    }
