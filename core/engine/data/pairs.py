"""Windows for models that write a target to a source: from prompts with their completions, one pair a window.

The first half of a window holds the prompt and the second the completion, each cut to its half and filled with padding,
with the special tokens the tokenizer puts around a source and a target. Where a text has no targets, its ordinary
windows are split in the middle instead (`core.engine.models.source_target`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from core.base.errors import RetortError
from core.base.roles import Actor
from core.base.settings import Settings
from core.data.columns import meaning_of
from core.data.labelled import one_text
from core.data.left_out import NO_CONVERSATION, TORN, LeftOut
from core.engine.data.corpora import Say, open_rows
from core.engine.data.windows import spread
from core.recipe.recipe import Corpus
from core.registry.formatting import percent


class Pair(NamedTuple):
    """What is read, and what shall be written."""

    source: str
    target: str


def load_pairs(corpus: Corpus, settings: Settings, actor: Actor, say: Say) -> list[Pair]:
    """Prompts with their completions, in the order of the corpus; none where its rows are plain text.

    Args:
        say: told, in a sentence each, which columns were read and what was left out.

    Raises:
        RetortError: no such data, or a column that is named is not there.
    """
    if not corpus.data.startswith(("path:", "hub:")):
        return []
    rows = open_rows(corpus.data, corpus.split, settings, actor)
    meaning = meaning_of(rows, corpus.mapping, "text")
    prompt, completion = meaning.columns.prompt, meaning.columns.completion
    if prompt is None or completion is None:
        return []
    if meaning.note:
        say(meaning.note)
    left, found = LeftOut(), list[Pair]()
    for row in rows.read():
        left.total += 1
        pair = Pair(one_text(row, prompt).strip(), one_text(row, completion).strip())
        if row.torn or not all(pair):
            left.add(row, TORN if row.torn else NO_CONVERSATION)
            continue
        found.append(pair)
    left.refuse_many()
    for sentence in left.sentences:
        say(sentence)
    return found


def pair_windows(
    pairs: list[Pair], tokenizer: Any, count: int, window: int, say: Say, seed: int | None = None
) -> Tensor:
    """`count` pairs as token ids, int64, (count, window): evenly over all of them, or drawn with a seed.

    Raises:
        RetortError: fewer pairs than asked for, or no padding token.
    """
    if len(pairs) < count:
        raise RetortError(
            f"The data has {len(pairs):,} prompts with completions, and {count:,} windows need as many.",
            "Use more rows, or ask for fewer tokens (or sequences).",
        )
    if tokenizer.pad_token_id is None:
        raise RetortError(
            "The tokenizer has no padding token, which pairs of unlike lengths need.",
            "Use the tokenizer that the model was trained with.",
        )
    if seed is None:
        places = spread(len(pairs), count)
    else:
        places = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))[:count]
    windows, cut = torch.full((count, window), int(tokenizer.pad_token_id), dtype=torch.int64), 0
    middle = window // 2
    for row, place in zip(windows, places.tolist(), strict=True):
        source = tokenizer(pairs[place].source, verbose=False)["input_ids"]
        target = tokenizer(text_target=pairs[place].target, verbose=False)["input_ids"]
        cut += len(source) > middle or len(target) > window - middle
        for half, ids in ((row[:middle], source), (row[middle:], target)):
            half[: len(ids)] = torch.tensor(ids[: len(half)])
    if cut:
        say(f"{percent(cut / count)} of the pairs are longer than half a window of {window} tokens, and were cut.")
    return windows
