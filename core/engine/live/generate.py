"""The live operation `generate`: models write after the same prompt, one after the other, token by token."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base.errors import RetortError
from core.engine.data.framing import opened_ids
from core.engine.live.host import Host
from core.engine.models.context import context_of
from core.engine.models.load import Loaded
from core.engine.models.plain_generation import end_tokens

MOST_TOKENS = 256
MOST_MODELS = 3
MOST_CHARACTERS = 20_000
"""Of a written text that are sent: a tokenizer may make one token as long as it likes."""
_PROMPT_TOKENS = 512


class Draw(NamedTuple):
    """How a text is drawn: `temperature` 0 always takes the likeliest token; else the same seed gives the same text."""

    tokens: int
    temperature: float
    seed: int


def generate(host: Host, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Events: `stage` (a sentence, while a model is loaded), then `text` of one model after the other, growing.

    Args:
        request: `models` (references), `prompt`, `tokens` to write, and optionally `temperature` (0: always
            the likeliest token) and `seed`.

    `text` has `model` (its place in `models`), `text`, `tokens` so far, `first_seconds` (reading the prompt and
    the first token), `per_second` (tokens after the first; None before there is one), `dtype` and `done`.

    Raises:
        RetortError: no prompt, a model that writes no text, or one that cannot be used.
    """
    references = references_of(request, least=1)
    prompt = prompt_of(host, request)
    draw = drawn(request)
    for place, reference in enumerate(references):
        yield {"stage": f"Loading model {place + 1} of {len(references)}."}
        loaded = writer(host, reference)
        written: list[int] = []
        first = rest = 0.0
        event: dict[str, Any] = {"model": place, "text": "", "tokens": 0, "first_seconds": None, "per_second": None}
        event |= {"dtype": str(loaded.dtype).removeprefix("torch."), "done": False}
        ids = encoded(loaded, prompt, draw.tokens)
        for token, seconds in next_tokens(loaded.model, ids, *draw):
            host.checkpoint()
            first, rest = (first, rest + seconds) if written else (seconds, 0.0)
            written.append(token)
            speed = (len(written) - 1) / rest if rest else None
            text = text_of(loaded, written)
            event |= {"text": text, "tokens": len(written), "first_seconds": first, "per_second": speed}
            yield {"text": dict(event)}
        yield {"text": event | {"done": True}}


def text_of(loaded: Loaded, written: list[int]) -> str:
    """What these tokens say, of a text without end its beginning."""
    return str(loaded.tokenizer.decode(written, skip_special_tokens=True))[:MOST_CHARACTERS]


def references_of(request: dict[str, Any], least: int) -> list[str]:
    """The models a request names, each once. Raises RetortError for too few or too many."""
    found = list(dict.fromkeys(str(r) for r in request.get("models", [])))
    if not least <= len(found) <= MOST_MODELS:
        needed = f"{least} to {MOST_MODELS} different models"
        raise RetortError(f"This needs {needed}; {len(found)} given.", f"Choose {needed}.")
    return found


def prompt_of(host: Host, request: dict[str, Any]) -> str:
    """The prompt within the limit of characters. Raises RetortError where there is none."""
    prompt = str(request.get("prompt", ""))[: host.settings.limits.prompt_characters].rstrip()
    if not prompt:
        raise RetortError("The prompt is empty.", "Type a few words that the models shall go on from.")
    return prompt


def drawn(request: dict[str, Any], tokens: int = 40) -> Draw:
    """What a request says of it, within bounds. `tokens`: where it does not say how many."""
    temperature = max(0.0, min(float(request.get("temperature", 0.0)), 2.0))
    wanted = max(1, min(int(request.get("tokens", tokens)), MOST_TOKENS))
    return Draw(wanted, temperature, int(request.get("seed", 0)) if temperature else 0)


def writer(host: Host, reference: str) -> Loaded:
    """A model that writes text, in memory and used once, so that its first timed step is like the others.

    Raises RetortError where it is none.
    """
    loaded, kept = host.model(reference), host.beside(reference)
    if loaded.task != "causal":
        raise RetortError(f"'{reference}' does not write text.", "Choose models that predict the next token.")
    if "used" not in kept:
        for _ in next_tokens(loaded.model, torch.zeros(1, 4, dtype=torch.long), 2):
            host.checkpoint()
        kept["used"] = True
    return loaded


def encoded(loaded: Loaded, prompt: str, tokens: int) -> Tensor:
    """(1, n) ids of the prompt; of a long one the end that leaves room for `tokens` more. Raises RetortError."""
    context = context_of(loaded.model) or 1024
    room = max(1, min(int(context) - tokens, _PROMPT_TOKENS))
    ids = torch.tensor([opened_ids(loaded.tokenizer, prompt)[-room:]], dtype=torch.int64)  # (1, n)
    if ids.shape[1] == 0:
        raise RetortError("The prompt is empty.", "Type a few words that the model shall go on from.")
    return ids


@torch.inference_mode()
def next_tokens(
    model: PreTrainedModel, ids: Tensor, tokens: int, temperature: float = 0.0, seed: int = 0
) -> Iterator[tuple[int, float]]:
    """Up to `tokens` tokens after `ids` (1, n), each with the seconds its step took; ends at an end of text.

    Temperature 0 takes the likeliest token, more draws from softmax(logits / temperature) with the seed. Of the model's
    own generation settings only the tokens that end a text count, so that models are compared alike.
    """
    generator = torch.Generator().manual_seed(seed)
    ends, cache, ids = set(end_tokens(model)), None, ids.to(model.device)
    for _ in range(tokens):
        started = time.perf_counter()
        out = model(input_ids=ids, cache=cache, use_cache=True, logits_to_keep=1)
        logits, cache = out.logits[0, -1].float(), out.cache  # (vocabulary,)
        if temperature > 0:
            chosen = torch.multinomial((logits / temperature).softmax(0).cpu(), 1, generator=generator)  # (1,)
        else:
            chosen = logits.argmax(dim=0, keepdim=True)  # (1,)
        token, ids = int(chosen), chosen[None].to(model.device)  # (1, 1)
        if token in ends:
            return
        yield token, time.perf_counter() - started
