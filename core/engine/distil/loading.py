"""What a student learns from, as the recipe names it: texts, conversations or labelled texts, whole or streamed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from core.base.errors import RetortError
from core.base.roles import Actor
from core.base.settings import Settings
from core.data.columns import meaning_of
from core.data.conversations import Conversation, conversation_of, spoken
from core.data.left_out import NO_CONVERSATION, TORN, LeftOut
from core.engine.data.classification import load_labelled
from core.engine.data.corpora import Say, load_texts, open_rows, texts_of
from core.engine.data.framing import frame_for
from core.engine.distil.batches import Answers, Examples, MaskedWindows, Windows
from core.engine.distil.packing import Stream, packed
from core.engine.distil.texts import conversations, labelled
from core.engine.models.compatibility import class_names
from core.engine.models.context import padding_of
from core.engine.models.load import Loaded
from core.recipe.distil import TrainingData
from core.recipe.recipe import Corpus

_CHECKED = 256


def load_examples(
    data: TrainingData, student: Loaded, settings: Settings, actor: Actor, say: Say = lambda text: None
) -> Examples:
    """The training sequences of a recipe, in the student's own tokens.

    Args:
        say: told, in a sentence each, what of the data is left out or cut.

    Raises:
        RetortError: unknown reference, file, split or column; nothing in it; or data that does not fit the student.
    """
    if data.form == "labels":
        return _labelled(data, student, settings, actor, say)
    if data.form == "chat":
        rows = conversations(
            _messages(data, settings, actor, say), student.tokenizer, data.length, data.count_prompt, say
        )
        return Answers(rows, _padding(student.tokenizer))
    frame = frame_for(student.tokenizer, student.task)
    if data.streaming:
        if student.task != "causal":
            raise RetortError("Only causal models are trained on streamed text.", "Turn streaming off.")
        return Stream(_streamed_texts(data, student.tokenizer, settings, actor), student.tokenizer, data.length, frame)
    windows = packed(
        load_texts(_corpus(data), settings, actor, student.tokenizer, say), student.tokenizer, data.length, frame
    )
    if student.task not in ("masked", "encoder"):
        return Windows(windows)
    tokenizer = student.tokenizer
    if tokenizer.mask_token_id is None:
        raise RetortError("The student's tokenizer has no mask token.", "Use a model folder whose tokenizer is whole.")
    share = 0.15 if student.task == "masked" else 0.0  # an encoder without a head fills no gaps
    return MaskedWindows(windows, int(tokenizer.mask_token_id), tuple(tokenizer.all_special_ids), share)


def training_texts(data: TrainingData, tokenizer: Any, settings: Settings, actor: Actor) -> Iterator[str]:
    """The text of a language model's training data, as it stands there.

    Raises:
        RetortError: as `load_examples`.
    """
    if data.form != "chat":
        yield from load_texts(_corpus(data), settings, actor, tokenizer)
        return
    for messages in _messages(data, settings, actor):
        yield from spoken(messages)


def _corpus(data: TrainingData) -> Corpus:
    return Corpus(data=data.data, split=data.split, columns=data.mapping)


def _labelled(data: TrainingData, student: Loaded, settings: Settings, actor: Actor, say: Say) -> Examples:
    names, tokenizer = class_names(student.model), student.tokenizer
    found = load_labelled(data.source, settings, actor, names)
    for sentence in found.remarks(tokenizer, data.length):
        say(sentence)
    labels = [found.names[label] for label in found.labels]
    return labelled(found.texts, labels, names, tokenizer, data.length, padding_of(student.model.config), found.pairs)


def texts_to_label(
    data: TrainingData, tokenizer: Any, settings: Settings, actor: Actor, say: Say = lambda text: None
) -> tuple[list[str], list[str] | None]:
    """The texts of data whose labels are to be given by a model, and the labels it has all the same, if it does.

    Raises:
        RetortError: unknown reference, file or column, or no text in it.
    """
    if data.data.startswith("sample:") or data.mapping.label is not None:
        found = load_labelled(data.source, settings, actor)
        return found.texts, [found.names[label] for label in found.labels]
    rows = open_rows(data.data, data.split, settings, actor)
    texts = [text.strip() for text in texts_of(rows, data.mapping, tokenizer, say) if text.strip()]
    if not texts:
        raise RetortError(f"{rows.where} holds no text.", "Name the column with the text in 'columns'.")
    return texts, None


def check_chat(data: TrainingData, tokenizer: Any, settings: Settings, actor: Actor) -> None:
    """Puts the first `_CHECKED` conversations into the chat template: what it refuses is known before any work.

    Raises:
        RetortError: they cannot be read, or the template refuses too many of them.
    """
    conversations(islice(_messages(data, settings, actor), _CHECKED), tokenizer, data.length, data.count_prompt)


def _messages(
    data: TrainingData, settings: Settings, actor: Actor, say: Say = lambda text: None
) -> Iterator[Conversation]:
    """Conversations: of messages, or one turn from a prompt and its completion. Rows without one are counted."""
    rows = open_rows(data.data, data.split, settings, actor, streaming=True)
    meaning = meaning_of(rows, data.mapping, "chat")
    if meaning.note:
        say(meaning.note)
    left = LeftOut()
    for row in rows.read():
        left.total += 1
        found = None if row.torn else conversation_of(row, meaning.columns)
        if found:
            yield found
        else:
            left.add(row, TORN if row.torn else NO_CONVERSATION)
    left.refuse_many()
    for sentence in left.sentences:
        say(sentence)


def _streamed_texts(data: TrainingData, tokenizer: Any, settings: Settings, actor: Actor) -> Iterator[str]:
    if data.data.startswith("sample:"):
        yield from load_texts(_corpus(data), settings, actor)
        return
    rows = open_rows(data.data, data.split, settings, actor, streaming=True)
    yield from (text for text in texts_of(rows, data.mapping, tokenizer, lambda sentence: None) if text.strip())


def _padding(tokenizer: Any) -> int:
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0)
