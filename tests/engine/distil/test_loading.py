"""Training data as recipes name it, from real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.engine.distil.batches import IGNORED, Answers, Windows
from core.engine.distil.classification_head import with_classes
from core.engine.distil.loading import load_examples
from core.engine.distil.packing import Stream
from core.engine.models.load import Loaded
from core.recipe.distil import TrainingData

ROWS = [{"prompt": f"How old is mill {i}?", "answer": f"It is {i} years old."} for i in range(9)]


def data(settings: Settings, name: str, content: str, **given: Any) -> TrainingData:
    path = settings.home / "models" / name
    path.write_text(content)
    return TrainingData(**{"data": f"path:{path}", "length": 32, "split": None} | given)


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def answers(examples: Any, teacher: Loaded) -> list[str]:
    batch = examples.take(range(examples.count), 0)
    return [teacher.tokenizer.decode(row[row != IGNORED], skip_special_tokens=True) for row in batch.targets]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "messages"])
def test_chat_rows(kind: str, home: Settings, teacher: Loaded) -> None:
    if kind == "csv":
        content = "question,reply\n" + "".join(f'"{r["prompt"]}","{r["answer"]}"\n' for r in ROWS)
        wanted = data(home, "talk.csv", content, form="chat", prompt="question", answer="reply")
    elif kind == "jsonl":
        wanted = data(home, "talk.jsonl", jsonl(ROWS), form="chat")
    else:
        rows = [
            {"messages": [{"role": "user", "content": r["prompt"]}, {"role": "assistant", "content": r["answer"]}]}
            for r in ROWS
        ]
        wanted = data(home, "talk.jsonl", jsonl(rows), form="chat")
    examples = load_examples(wanted, teacher, home, LOCAL)
    assert isinstance(examples, Answers)
    assert answers(examples, teacher) == [row["answer"] for row in ROWS]


def test_a_missing_column_is_named(home: Settings, teacher: Loaded) -> None:
    with pytest.raises(RetortError, match=r"no column that could be the completion \(it has: prompt, reply\)"):
        load_examples(data(home, "t.jsonl", jsonl([{"prompt": "a", "reply": "b"}]), form="chat"), teacher, home, LOCAL)


def test_streamed_text_equals_the_same_text_read_at_once(home: Settings, teacher: Loaded, tiny_text: str) -> None:
    whole = load_examples(data(home, "t.txt", tiny_text), teacher, home, LOCAL)
    streamed = load_examples(data(home, "t.txt", tiny_text, streaming=True), teacher, home, LOCAL)
    assert isinstance(whole, Windows) and isinstance(streamed, Stream) and streamed.count is None
    numbers = [0, 1, 5, 9]
    assert torch.equal(streamed.take(numbers, 0).ids, whole.take(numbers, 0).ids)


def test_files_outside_the_allowed_folders_are_refused(home: Settings, teacher: Loaded, tmp_path: Path) -> None:
    (tmp_path / "secret.jsonl").write_text(jsonl(ROWS))
    with pytest.raises(RetortError):
        load_examples(TrainingData(data=f"path:{tmp_path / 'secret.jsonl'}", form="chat"), teacher, home, LOCAL)


def test_an_encoder_gets_a_head_and_learns_classes_from_a_file(home: Settings, teacher: Loaded) -> None:
    torch.manual_seed(0)
    encoder = BertModel(
        BertConfig(
            vocab_size=384,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
        )
    )
    plain = Loaded(encoder.eval(), teacher.tokenizer, Path("."), torch.float32, "encoder")
    made = with_classes(plain, ["earn", "grain"])
    assert made.task == "classification" and plain.task == "encoder"
    for name, parameter in encoder.named_parameters():
        assert torch.equal(made.model.base_model.get_parameter(name), parameter), name
    again = with_classes(plain, ["earn", "grain"])
    assert torch.equal(made.model.classifier.weight, again.model.classifier.weight)
    rows = [{"text": "profits rose", "label": "earn"}, {"text": "wheat fell", "label": "grain"}]
    examples = load_examples(data(home, "r.jsonl", jsonl(rows), form="labels"), made, home, LOCAL)
    assert examples.take([0, 1], 0).targets.tolist() == [[0], [1]]
    wrong = data(home, "w.jsonl", jsonl([*rows, {"text": "x", "label": "ship"}]), form="labels")
    with pytest.raises(RetortError, match="'ship'"):
        load_examples(wrong, made, home, LOCAL)
