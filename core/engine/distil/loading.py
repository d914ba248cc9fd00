"""What a student learns from, as the recipe names it: texts, conversations or labelled texts, whole or streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from core.base import json_io
from core.base.errors import RetortError
from core.base.roles import Actor, may, not_here
from core.base.settings import Settings
from core.catalogue.checks import inside_roots
from core.catalogue.hub import dataset_commit
from core.engine.data.classification import load_labelled
from core.engine.data.corpora import load_texts
from core.engine.data.framing import frame_for
from core.engine.distil.batches import Answers, Examples, MaskedWindows, Windows
from core.engine.distil.packing import Stream, packed
from core.engine.distil.texts import Conversation, Say, conversations, labelled
from core.engine.models.compatibility import class_names
from core.engine.models.context import padding_of
from core.engine.models.load import Loaded
from core.recipe.distil import TrainingData
from core.recipe.recipe import Corpus

Row = Mapping[str, Any]
_READERS = {".txt": "text", ".md": "text", ".raw": "text", ".csv": "csv", ".jsonl": "json", ".parquet": "parquet"}
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
        return _labelled(data, student, settings, say)
    if data.form == "chat":
        rows = conversations(_messages(data, settings, actor), student.tokenizer, data.length, data.count_prompt, say)
        return Answers(rows, _padding(student.tokenizer))
    frame = frame_for(student.tokenizer, student.task)
    if data.streaming:
        if student.task != "causal":
            raise RetortError("Only causal models are trained on streamed text.", "Turn streaming off.")
        return Stream(_streamed_texts(data, settings, actor), student.tokenizer, data.length, frame)
    corpus = Corpus(data=data.data, split=data.split, column=data.column)
    windows = packed(load_texts(corpus, settings, actor), student.tokenizer, data.length, frame)
    if student.task not in ("masked", "encoder"):
        return Windows(windows)
    tokenizer = student.tokenizer
    if tokenizer.mask_token_id is None:
        raise RetortError("The student's tokenizer has no mask token.", "Use a model folder whose tokenizer is whole.")
    share = 0.15 if student.task == "masked" else 0.0  # an encoder without a head fills no gaps
    return MaskedWindows(windows, int(tokenizer.mask_token_id), tuple(tokenizer.all_special_ids), share)


def training_texts(data: TrainingData, settings: Settings, actor: Actor) -> Iterator[str]:
    """The text of a language model's training data, as it stands there.

    Raises:
        RetortError: as `load_examples`.
    """
    if data.form != "chat":
        yield from load_texts(Corpus(data=data.data, split=data.split, column=data.column), settings, actor)
        return
    for messages in _messages(data, settings, actor):
        yield from (str(part) for m in messages for part in _spoken(m.get("content")))


def _spoken(content: Any) -> list[Any]:
    if isinstance(content, list):
        return [p.get("text", "") if isinstance(p, Mapping) else p for p in content]
    return [] if content is None else [content]


def _labelled(data: TrainingData, student: Loaded, settings: Settings, say: Say) -> Examples:
    names = class_names(student.model)
    found = load_labelled(data.data, settings, names, data.classes)
    if found.note:
        say(found.note)
    labels = [found.names[label] for label in found.labels]
    return labelled(found.texts, labels, names, student.tokenizer, data.length, padding_of(student.model.config))


def check_chat(data: TrainingData, tokenizer: Any, settings: Settings, actor: Actor) -> None:
    """Puts the first `_CHECKED` conversations into the chat template: what it refuses is known before any work.

    Raises:
        RetortError: they cannot be read, or the template refuses too many of them.
    """
    conversations(islice(_messages(data, settings, actor), _CHECKED), tokenizer, data.length, data.count_prompt)


def _messages(data: TrainingData, settings: Settings, actor: Actor) -> Iterator[Conversation]:
    """Conversations from a `messages` column (and `tools`), or one turn from the prompt and answer columns."""
    for number, row in enumerate(stream_rows(data, settings, actor), 1):
        messages = row.get("messages")
        if messages is not None:
            if not isinstance(messages, list) or not all(isinstance(m, Mapping) for m in messages):
                raise RetortError(
                    f"'messages' in row {number} of {data.data} is no list of messages.",
                    'Write each conversation as a list such as [{"role": "user", "content": "..."}].',
                )
            tools = row.get("tools")
            yield Conversation(messages, tools if isinstance(tools, list) else ())
            continue
        for column in (data.prompt, data.answer):
            if row.get(column) is None:
                raise RetortError(
                    f"{data.data} has no column '{column}' (it has: {', '.join(row)}).",
                    "Name the columns in 'prompt' and 'answer', or give a 'messages' column.",
                )
        yield Conversation(
            [
                {"role": "user", "content": str(row[data.prompt])},
                {"role": "assistant", "content": str(row[data.answer])},
            ]
        )


def _streamed_texts(data: TrainingData, settings: Settings, actor: Actor) -> Iterator[str]:
    if data.data.startswith("sample:"):
        yield from load_texts(Corpus(data=data.data, split=data.split, column=data.column), settings, actor)
        return
    for row in stream_rows(data, settings, actor):
        column = data.column or "text"
        if column not in row:
            raise RetortError(
                f"{data.data} has no column '{column}' (it has: {', '.join(row)}).", "Name the text column in 'column'."
            )
        if row[column]:
            yield str(row[column])


def stream_rows(data: TrainingData, settings: Settings, actor: Actor) -> Iterable[Row]:
    """The rows of a local file or a hub data set, read as they are asked for; nothing is copied to disk.

    Raises:
        RetortError: no such file, a format Retort does not read, or the hub cannot be reached.
    """
    kind, _, name = data.data.partition(":")
    if kind == "path":
        return _file_rows(inside_roots(name, settings))
    if kind == "hub":
        return _hub_rows(name, data.split, settings, actor)
    raise RetortError(f"'{data.data}' has no rows to read.", "Write path:/folder/file.jsonl or hub:org/name@revision.")


def _file_rows(path: Path) -> Iterable[Row]:
    import datasets

    reader = _READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise RetortError(f"'{path}' is no file Retort reads.", "Use .txt, .csv, .jsonl or .parquet.")
    if reader == "json":
        yield from _json_rows(path)  # as they are: a table would fill every row up with the others' fields
        return
    options = {"sample_by": "paragraph"} if reader == "text" else {}
    try:
        yield from datasets.load_dataset(reader, data_files=str(path), split="train", streaming=True, **options)
    except (OSError, ValueError, datasets.exceptions.DatasetGenerationError) as error:
        raise RetortError(
            f"{path.name} cannot be read ({_first(error)}).", "Check that it is whole and in UTF-8."
        ) from error


def _json_rows(path: Path) -> Iterator[Row]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    row = json_io.load(line.removeprefix(b"\xef\xbb\xbf"))
                    if not isinstance(row, dict):
                        raise ValueError(f"line {number} is no JSON object")
                    yield row
    except (OSError, ValueError) as error:
        raise RetortError(
            f"{path.name} cannot be read ({_first(error)}).", "Check that it is whole and in UTF-8."
        ) from error


def _hub_rows(name: str, split: str | None, settings: Settings, actor: Actor) -> Iterable[Row]:
    """Streamed: nothing of it lies on this machine, so every reading is a download."""
    import datasets

    if not may(actor, "fetch"):
        raise not_here(f"hub:{name}, read as it is needed,")
    repository, _, revision = name.partition("@")
    parts = repository.split("/")
    path, configuration = "/".join(parts[:2]), "/".join(parts[2:]) or None
    commit = dataset_commit(path, revision or None)
    if commit is None:
        raise RetortError(
            f"hub:{name} cannot be streamed: the hub could not be reached.",
            "Check the network and try again, or use a local file.",
        )
    try:
        yield from datasets.load_dataset(path, configuration, split=split or "train", revision=commit, streaming=True)
    except (OSError, ValueError) as error:
        raise RetortError(
            f"hub:{name} cannot be read ({_first(error)}).", "Check its configuration, split and columns."
        ) from error


def _padding(tokenizer: Any) -> int:
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0)


def _first(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
