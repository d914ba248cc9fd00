"""Each task's prompt, word for word, and what happens where its records are missing or broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from core.base.errors import RetortError
from core.engine.evaluate.tasks.items import load_items
from core.registry.tasks import TASK_SETS

RECORDS: dict[str, tuple[dict[str, Any], list[tuple[str, str]], int]] = {
    "hellaswag": (
        {
            "activity_label": "Roofing",
            "ctx_a": "A man is [step] on a roof [title]  now.",
            "ctx_b": "he",
            "endings": ["sings. [title] Loud.", " waits ", "flies.", "falls."],
            "label": "3",
        },
        [
            ("Roofing: A man is on a roof.  now. He", " sings.. Loud."),
            ("Roofing: A man is on a roof.  now. He", " waits"),
            ("Roofing: A man is on a roof.  now. He", " flies."),
            ("Roofing: A man is on a roof.  now. He", " falls."),
        ],
        3,
    ),
    "arc_easy": (
        {"question": "What is hot?", "choices": {"text": ["ice", "fire"], "label": ["A", "B"]}, "answerKey": "B"},
        [("Question: What is hot?\nAnswer:", " ice"), ("Question: What is hot?\nAnswer:", " fire")],
        1,
    ),
    "arc_challenge": (
        {"question": "What is hot?", "choices": {"text": ["ice", "fire"], "label": ["1", "2"]}, "answerKey": "1"},
        [("Question: What is hot?\nAnswer:", " ice"), ("Question: What is hot?\nAnswer:", " fire")],
        0,
    ),
    "piqa": (
        {"goal": "Cut bread", "sol1": "Use a knife.", "sol2": "Use a spoon.", "label": 0},
        [("Question: Cut bread\nAnswer:", " Use a knife."), ("Question: Cut bread\nAnswer:", " Use a spoon.")],
        0,
    ),
    "boolq": (
        {"passage": "Ice is cold.", "question": "is ice cold", "answer": True},
        [
            ("Ice is cold.\nQuestion: is ice cold?\nAnswer:", " no"),
            ("Ice is cold.\nQuestion: is ice cold?\nAnswer:", " yes"),
        ],
        1,
    ),
    "sciq": (
        {
            "support": " Water boils.",
            "question": "At what heat?",
            "distractor1": "1",
            "distractor2": "2",
            "distractor3": "3",
            "correct_answer": "100",
        },
        [("Water boils.\nQuestion: At what heat?\nAnswer:", f" {c}") for c in ("1", "2", "3", "100")],
        3,
    ),
    "winogrande": (
        {"sentence": "Ann thanked Bea as _ had helped.", "option1": "Ann", "option2": "Bea", "answer": "2"},
        [("Ann thanked Bea as Ann", " had helped."), ("Ann thanked Bea as Bea", " had helped.")],
        1,
    ),
    "openbookqa": (
        {"question_stem": "The sun is", "choices": {"text": ["a star", "bad"], "label": ["A", "B"]}, "answerKey": " A"},
        [("The sun is", " a star"), ("The sun is", " bad")],
        0,
    ),
    "copa": (
        {
            "premise": "He opened the tap. ",
            "question": "effect",
            "choice1": "It rained.",
            "choice2": "Water ran.",
            "label": 1,
        },
        [("He opened the tap therefore", "  it rained."), ("He opened the tap therefore", "  water ran.")],
        1,
    ),
    "sst2": (
        {"sentence": "a charming journey . ", "label": 1},
        [
            ("a charming journey . \nQuestion: Is this sentence positive or negative?\nAnswer:", " negative"),
            ("a charming journey . \nQuestion: Is this sentence positive or negative?\nAnswer:", " positive"),
        ],
        1,
    ),
}


def test_every_task_is_covered_here() -> None:
    """Or in a test of its own beside this one."""
    beside = "".join(p.read_text("utf-8") for p in Path(__file__).parent.glob("*.py") if p != Path(__file__))
    assert {t.id for t in TASK_SETS.values() if not t.brought and f'"{t.id}"' not in beside} <= RECORDS.keys()


@pytest.mark.parametrize("name", RECORDS)
def test_prompts_are_worded_as_the_harness_words_them(name: str, tmp_path: Path) -> None:
    record, expected, gold = RECORDS[name]
    task = TASK_SETS[name]
    Dataset.from_list([record, record]).save_to_disk(str(tmp_path / task.folder / task.split))
    items = load_items(task, tmp_path, limit=1)
    assert len(items) == 1 and len(load_items(task, tmp_path)) == 2
    assert list(zip(items[0].contexts, items[0].continuations, strict=True)) == expected
    assert items[0].gold == gold and items[0].lengths == tuple(len(o) - 1 for _, o in expected)


def test_missing_or_broken_records_are_refused(tmp_path: Path) -> None:
    task = TASK_SETS["piqa"]
    with pytest.raises(RetortError, match="not on this machine"):
        load_items(task, tmp_path)
    Dataset.from_list([{"question": "of another task"}]).save_to_disk(str(tmp_path / task.folder / task.split))
    with pytest.raises(RetortError, match="cannot be read"):
        load_items(task, tmp_path)
    with pytest.raises(RetortError, match="no items"):
        load_items(task, tmp_path, limit=0)
    (tmp_path / task.folder / task.split / "state.json").write_text("not json")
    with pytest.raises(RetortError, match="cannot be read"):
        load_items(task, tmp_path)
