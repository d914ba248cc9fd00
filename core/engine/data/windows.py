"""Token windows: what statistics are gathered on and what perplexity is measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from core.base.errors import RetortError
from core.catalogue.shingles import shingles
from core.engine.data.framing import Frame, special_frame

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SEPARATOR = "\n\n"
"""Documents are joined by a blank line."""
_DRAWN_WITH = 0
"""Seed by which documents of a long corpus are drawn for evaluation."""
_READ_WHOLE = 100_000
"""Tokens up to which a text is read whole for evaluation, which takes less than a second."""
_SHINGLE_WORDS = 13
"""Length of a shared run that counts as overlap (Brown et al. 2020, appendix C)."""
_CHARACTERS_PER_TOKEN = 12
"""More than any usual tokenizer packs into a token, so one tokenisation is enough as a rule."""


def digest_of(tokens: torch.Tensor) -> str:
    """Identifies token ids of any shape: 32 hexadecimal digits."""
    shape = ",".join(str(n) for n in tokens.shape)
    return hashlib.sha256(f"{shape} {tokens.dtype} ".encode() + tokens.contiguous().numpy().tobytes()).hexdigest()[:32]


def evaluation_windows(
    texts: list[str], tokenizer: PreTrainedTokenizerBase, tokens: int, window: int, frame: Frame | None = None
) -> torch.Tensor:
    """Windows that do not overlap and lie evenly over the whole text; one that is just as long is read from end to end.

    Neighbouring windows are alike, so the first ones alone say less of a text than their number promises: intervals
    over them cover its mean in 87 to 90 of 100 cases instead of 95. Of a corpus far longer than needed, documents drawn
    once for all are enough.

    Every window starts (and ends) with `frame`; None: with what the tokenizer itself puts around a text.

    Returns:
        Token ids, int64, (tokens // window, window).
    Raises:
        RetortError: too little text, or fewer tokens asked for than one window holds.
    """
    count = tokens // window
    if count == 0:
        raise RetortError(
            f"{tokens:,} evaluation tokens do not fill one window of {window:,}.",
            "Ask for more tokens or a shorter window.",
        )
    frame = special_frame(tokenizer) if frame is None else frame
    body = _body(window, frame)
    enough = _sampled(texts, max(4 * count * body, _READ_WHOLE), torch.Generator().manual_seed(_DRAWN_WITH))
    ids = torch.tensor(_all_tokens(enough, tokenizer))
    slots = len(ids) // body
    if slots < count:
        _too_short(len(ids), count * body, f"{count} windows of {window}")
    return _framed(ids[: slots * body].view(slots, body)[spread(slots, count)], frame)


def spread(slots: int, count: int) -> torch.Tensor:
    """Which of `slots` windows are read: (count,), the middle one of each equal share of them."""
    return (2 * torch.arange(count) + 1) * slots // (2 * count)


def calibration_windows(
    texts: list[str],
    tokenizer: PreTrainedTokenizerBase,
    sequences: int,
    length: int,
    seed: int,
    frame: Frame | None = None,
) -> torch.Tensor:
    """Windows at random places of the text, the same ones for the same seed, in `frame` as evaluation windows are.

    They do not overlap where the text is long enough; else their starts differ.

    Returns:
        Token ids, int64, (sequences, length).
    Raises:
        RetortError: the text has fewer than `sequences` different windows.
    """
    frame = special_frame(tokenizer) if frame is None else frame
    body = _body(length, frame)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.tensor(_all_tokens(_sampled(texts, 4 * sequences * body, generator), tokenizer))
    slots, places = len(ids) // body, len(ids) - body + 1
    if places < sequences:
        _too_short(len(ids), body + sequences - 1, f"{sequences} windows of {length}")
    if slots >= sequences:
        shift = int(torch.randint(len(ids) - slots * body + 1, (1,), generator=generator))
        starts = shift + body * torch.randperm(slots, generator=generator)[:sequences]
    else:
        starts = torch.randperm(places, generator=generator)[:sequences]
    return _framed(ids[starts[:, None] + torch.arange(body)], frame)  # (sequences, length)


def overlap(evaluation: Iterable[str], other: Iterable[str]) -> float:
    """Share of the evaluation text's runs of 13 words that another text contains too, 0 to 1.

    Letter case and punctuation do not count; a document of fewer words is one run.
    """
    asked: set[int] = set().union(*(shingles(text, _SHINGLE_WORDS) for text in evaluation))
    found: set[int] = set()
    for text in other:  # of any length: only what both have is kept
        found |= asked & shingles(text, _SHINGLE_WORDS)
    return len(found) / len(asked) if asked else 0.0


def _body(window: int, frame: Frame) -> int:
    body = window - len(frame[0]) - len(frame[1])
    if body < 2:
        raise RetortError(f"A window of {window} tokens is too short to hold text.", "Choose a longer window.")
    return body


def _framed(body: torch.Tensor, frame: Frame) -> torch.Tensor:
    before, after = (torch.tensor(list(part), dtype=torch.int64).expand(len(body), -1) for part in frame)
    return torch.cat([before, body, after], dim=1).contiguous()


def _all_tokens(texts: list[str], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return list(tokenizer(SEPARATOR.join(texts), add_special_tokens=False, verbose=False)["input_ids"])


def _sampled(texts: list[str], tokens: int, generator: torch.Generator) -> list[str]:
    """All texts, or, where they are far more than needed, random ones (in their order) that are enough."""
    enough = tokens * _CHARACTERS_PER_TOKEN
    if sum(map(len, texts)) <= enough:
        return texts
    chosen, characters = [], 0
    for i in torch.randperm(len(texts), generator=generator).tolist():
        chosen.append(i)
        characters += len(texts[i])
        if characters >= enough:
            break
    return [texts[i] for i in sorted(chosen)]


def _too_short(found: int, needed: int, what: str) -> None:
    raise RetortError(
        f"The text has {found:,} tokens, and {what} need {needed:,}.", "Use more text, or fewer or shorter windows."
    )
