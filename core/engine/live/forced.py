"""The live operation `forced`: students read what the teacher reads, token by token.

Every model sees the same tokens (teacher forcing), so that each position is compared on its own: a student that
takes another way once is not judged for everything that would follow from it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from core.base.errors import Impossible, RetortError
from core.engine.data.framing import opened_ids
from core.engine.live.generate import Draw, drawn, encoded, next_tokens, prompt_of, references_of, writer
from core.engine.live.host import Host
from core.engine.models.chunked_head import ChunkedHead
from core.engine.models.context import context_of
from core.engine.models.divergence import divergence
from core.engine.models.load import Loaded
from core.engine.models.shared_tokens import SharedTokens, shared_tokens

MOST_TOKENS = 512
TOP = 5
_LONGEST = 500  # characters of one token
_CONTINUATIONS = "continuations"
_KEPT = 400  # of them


@dataclass(frozen=True)
class Compared:
    """One token of the text, and what both models expected in its place.

    `kl`: KL(teacher || student) in nats over the whole vocabulary; None for a token that was only given.
    `teacher`, `student`: the five likeliest tokens as (text, probability), likeliest first.
    """

    text: str
    kl: float | None = None
    differs: bool = False
    teacher: tuple[tuple[str, float], ...] = ()
    student: tuple[tuple[str, float], ...] = ()


def forced(host: Host, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Events: `stage`, then one `strip` for each student.

    Args:
        request: `models` (references; the first is the teacher), and either `text` to read, or `prompt`, `tokens`,
            `temperature` and `seed` as in `generate`: then the text is what the teacher itself writes, and the prompt
            is given, not compared.

    A `strip` has `model` (place in `models`), `tokens` (see `Compared`), `mean` (KL in nats), `agreement` (%),
    `compared` (tokens),
    `first_split` (index of the first token where the likeliest tokens differ, or None), `cut` and `dtype`.

    Raises:
        RetortError: nothing to compare, different tokenizers, or a model that cannot be used.
    """
    references = references_of(request, least=2)
    yield {"stage": "Loading the first model."}
    teacher = writer(host, references[0])
    ids, first, cut = _text(host, teacher, references[0], request)
    for place, reference in enumerate(references[1:], start=1):
        yield {"stage": f"Reading the text with model {place + 1} of {len(references)}."}
        student = writer(host, reference)
        tokens = compare_tokens(teacher, student, ids, first, host.checkpoint)
        dtype = str(student.dtype).removeprefix("torch.")
        yield {
            "strip": {"model": place, "tokens": [asdict(t) for t in tokens], "cut": cut, "dtype": dtype}
            | summary(tokens)
        }


@torch.inference_mode()
def compare_tokens(
    teacher: Loaded, student: Loaded, ids: Tensor, first: int, checkpoint: Callable[[], None]
) -> list[Compared]:
    """Every token of `ids` (1, n); those before `first` (at least 1) are given and not compared.

    Raises:
        RetortError: the models read text in different tokens, or an output is not a number.
    """
    shared = _shared_tokens(teacher, student)
    name = _namer(teacher.tokenizer)
    if shared is not None and not bool(torch.isin(ids, shared.teacher).all()):
        raise RetortError("The text holds a token that stands for no text.", "Compare another text.")
    sources = ChunkedHead(teacher.model, ids), ChunkedHead(student.model, ids)
    read = []
    for source in sources:
        checkpoint()
        read.append(source.features(ids.to(source.model.device))[0, first - 1 : -1])  # (n - first, hidden)
    tokens = [Compared(name(i)) for i in ids[0, :first].tolist()]
    texts = [name(i) for i in ids[0, first:].tolist()]
    for part, expected in sources[0].chunks(read[0]):  # (chunk, vocabulary)
        checkpoint()
        got = sources[1].rows(read[1][part]).to(expected.device)  # (chunk, vocabulary)
        if shared is not None:
            expected, got = shared.of_teacher(expected), shared.of_student(got)
        kls, agrees = divergence(expected, got)
        if not bool(torch.isfinite(kls).all()):
            raise RetortError(
                "One of the models gives values that are not numbers, so they cannot be compared.",
                "Choose a model that was pruned less.",
            )
        numbers = shared.teacher.tolist() if shared is not None else range(expected.shape[1])
        tops = zip(_top(expected, name, numbers), _top(got, name, numbers), strict=True)
        rows = zip(texts[part], kls.tolist(), agrees.tolist(), tops, strict=True)
        tokens += [Compared(text, kl, not agree, *top) for text, kl, agree, top in rows]
    return tokens


def summary(tokens: Sequence[Compared]) -> dict[str, Any]:
    """Mean KL, agreement in %, and where the models part first. Raises RetortError for nothing.

    Tokens of one text depend on each other, so they give no interval: that takes several texts.
    """
    kls = [t.kl for t in tokens if t.kl is not None]
    if not kls:
        raise RetortError("There is no token to compare.", "Write a text of a few words.")
    splits = [i for i, t in enumerate(tokens) if t.differs]
    return {
        "mean": statistics.fmean(kls),
        "agreement": 100.0 * (1 - len(splits) / len(kls)),
        "compared": len(kls),
        "first_split": splits[0] if splits else None,
    }


def _shared_tokens(teacher: Loaded, student: Loaded) -> SharedTokens | None:
    """What is compared where one output has more rows than the other, of tokens that are the same."""
    try:
        found = shared_tokens(teacher.tokenizer, student.tokenizer, teacher.model, student.model)
        if teacher.tokenizer.get_vocab() != student.tokenizer.get_vocab():
            raise Impossible("One has tokens, or numbers of them, that the other has not.", "")
        return found
    except RetortError as error:
        raise RetortError(
            "These models cut text into different tokens, so they cannot be compared token by token. " + error.cause,
            "Compare models made from the same one; 'Write' works with any models.",
        ) from error


def _text(host: Host, teacher: Loaded, reference: str, request: dict[str, Any]) -> tuple[Tensor, int, bool]:
    """Ids (1, n), the first that is compared, and whether the text was too long to be read whole."""
    if "text" not in request:
        prompt = prompt_of(host, request)
        ids, first = continued(host, teacher, reference, prompt, drawn(request))
        return ids, first, False
    limit = host.settings.limits.prompt_characters
    whole = str(request["text"])
    ids = torch.tensor([opened_ids(teacher.tokenizer, whole[:limit])], dtype=torch.int64)  # (1, n)
    context = context_of(teacher.model) or MOST_TOKENS
    most = min(int(context), MOST_TOKENS)
    if ids.shape[1] < 2:
        raise RetortError("There is no token to compare.", "Write a text of a few words.")
    return ids[:, :most], 1, len(whole) > limit or ids.shape[1] > most


def continued(host: Host, teacher: Loaded, reference: str, prompt: str, draw: Draw) -> tuple[Tensor, int]:
    """The prompt with what the teacher writes after it (1, n), and where that begins. Kept with the model."""
    kept = host.beside(reference).setdefault(_CONTINUATIONS, {})
    key = (prompt, draw)
    if key not in kept:
        ids, written = encoded(teacher, prompt, draw.tokens), []
        for token, _ in next_tokens(teacher.model, ids, *draw):
            host.checkpoint()
            written.append(token)
        while len(kept) >= _KEPT:
            del kept[next(iter(kept))]
        kept[key] = torch.cat([ids, torch.tensor([written], dtype=torch.long)], dim=1), ids.shape[1]
    found: tuple[Tensor, int] = kept[key]
    return found


def _top(logits: Tensor, name: Callable[[int], str], numbers: Sequence[int]) -> list[tuple[tuple[str, float], ...]]:
    """The likeliest tokens of each row of `logits` (rows, outcomes) with their probabilities.

    `numbers`: the token of each outcome.
    """
    best = logits.softmax(dim=1).topk(min(TOP, logits.shape[1]), dim=1)  # (rows, TOP)
    rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [tuple((name(numbers[i]), p) for i, p in zip(ids, shares, strict=True)) for ids, shares in rows]


def _namer(tokenizer: Any) -> Callable[[int], str]:
    """The text of a token as it stands inside a text: decoded after another one, for its leading space."""
    anchor = tokenizer("a", add_special_tokens=False).input_ids[-1:]
    before = str(tokenizer.decode(anchor))
    known: dict[int, str] = {}

    def name(token: int) -> str:
        if token not in known:
            known[token] = str(tokenizer.decode([*anchor, token])).removeprefix(before)[:_LONGEST]
        return known[token]

    return name
