"""Questions of one's own against plain transformers: options one at a time, answers by `generate`, one prompt each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.base.progress import InMemoryReporter
from core.base.settings import Settings
from core.data.questions import Question, questions_of
from core.data.tables import open_data
from core.engine.evaluate.own import choice_items, own_measurements, prompt_ids
from core.engine.evaluate.tasks.items import load_items
from core.engine.evaluate.written import is_right, written_answers
from core.engine.models.load import Loaded, load_model
from core.recipe.own_tasks import OwnTask
from core.registry.tasks import TASK_SETS
from tests.conformance.test_choice import one_by_one

CHOICES = [
    {"question": "What fell on the roofs?", "choices": ["rain", "a lighthouse in 1834", "stones"], "answer": "A"},
    {"question": "Is the parcel heavy?", "choices": ["no", "yes"], "answer": "B"},
    {"question": "When did the market open?", "choices": ["as usual, then it closed", "late"], "answer": "B"},
]


@pytest.fixture(scope="module")
def loaded(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """A model whose greedy text is no repetition of one token."""
    folder = tmp_path_factory.mktemp("own") / "model"
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.normal_(0.0, 0.3)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(folder)
    return load_model(folder, "float32")


def test_options_are_scored_as_those_of_the_bundled_tasks(loaded: Loaded, home: Settings) -> None:
    path = home.roots[0] / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, CHOICES)))
    task = OwnTask(name="own", data=f"path:{path}")
    found = questions_of(open_data(str(path), home), task)
    acc, norm = own_measurements(loaded, task, found, None, 2, InMemoryReporter())[0]
    right, right_norm = [], []
    for row, gold in zip(CHOICES, (0, 1, 1), strict=True):
        options = list(row["choices"])
        asked = f"Question: {row['question']}\nAnswer:"
        scores = [one_by_one(loaded.model, loaded.tokenizer, asked, f" {o}") for o in options]
        right.append(float(scores.index(max(scores)) == gold))
        per = [s / len(o) for s, o in zip(scores, options, strict=True)]
        right_norm.append(float(per.index(max(per)) == gold))
    assert acc.samples == right and norm.samples == right_norm and set(right) == {0.0, 1.0}
    assert (acc.metric, norm.metric) == ("accuracy:own", "accuracy_norm:own")
    assert acc.settings["items"] == 3 and acc.settings["shots"] == 0


def test_an_own_file_of_arc_gives_the_items_of_the_bundled_task(home: Settings, tmp_path: Path) -> None:
    """The same question as ARC's record and as a row of one's own: the same contexts and continuations."""
    folder = tmp_path / "ai2_arc" / "ARC-Easy"
    folder.mkdir(parents=True)
    record = {"question": "What is hot?", "choices": {"text": ["ice", "fire"], "label": ["A", "B"]}, "answerKey": "B"}
    (folder / "validation.jsonl").write_text(json.dumps(record))
    path = home.roots[0] / "own.jsonl"
    path.write_text(json.dumps(record))
    task = OwnTask(name="own", data=f"path:{path}")
    rows = questions_of(open_data(str(path), home), task).rows
    assert choice_items(task, (), rows) == load_items(TASK_SETS["arc_easy"], tmp_path)


def test_examples_stand_before_the_question_as_the_harness_joins_them() -> None:
    task = OwnTask(name="own", data="path:/q.csv", shots=1)
    shown, asked = Question("One?", ("no", "yes"), 1), Question("Two?", ("left", "right"), 0)
    (item,) = choice_items(task, [shown], [asked])
    assert item.contexts == ("Question: One?\nAnswer: yes\n\nQuestion: Two?\nAnswer:",) * 2
    assert item.continuations == (" left", " right") and item.lengths == (4, 5) and item.gold == 0


def test_written_answers_are_those_of_generate_up_to_the_stop_text(loaded: Loaded) -> None:
    tokenizer, model = loaded.tokenizer, loaded.model
    asked = ["The river ran", "A lighthouse", "The river sang", "It was late in the town when"]
    prompts = [tokenizer(t)["input_ids"] for t in asked]
    plain = []
    for ids in prompts:
        with torch.no_grad():
            out = model.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False)
        plain.append(tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True).lstrip())
    found = written_answers(model, tokenizer, prompts, (), 24, 3, InMemoryReporter())
    assert found == plain and len(set(found)) > 1
    stop = plain[0][4:6]
    stopped = written_answers(model, tokenizer, prompts, (stop,), 24, 3, InMemoryReporter())
    assert stopped == [text.split(stop)[0] for text in plain] and len(stopped[0]) <= 4


def test_the_chat_template_puts_questions_and_examples(tiny_llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    task = OwnTask(name="own", data="path:/q.csv", shots=1)
    shown, asked = Question("One?", answers=("yes", "yea")), Question("Two?", answers=("no",))
    text = "<user>One?\n<assistant>yes\n<user>Two?\n<assistant>"
    assert prompt_ids(tokenizer, task, [shown], asked, True) == tokenizer(text, add_special_tokens=False)["input_ids"]
    plain = "Question: One?\nAnswer: yes\n\nQuestion: Two?\nAnswer:"
    assert prompt_ids(tokenizer, task, [shown], asked, False) == tokenizer(plain)["input_ids"]


@pytest.mark.parametrize(
    ("written", "expected", "match", "right"),
    [
        (" New  York.", ["new york"], "exact", True),
        ("New York City", ["new york"], "exact", False),
        ("It is 'New York' City", ["New York."], "contains", True),
        ("115 metres", ["15"], "contains", False),
        ("about 15 metres", ["15"], "contains", True),
        ("", ["x"], "contains", False),
        ("Stra\u00dfe", ["STRASSE", "road"], "exact", True),
        ("?", ["?"], "exact", True),
    ],
)
def test_when_a_written_answer_is_right(written: str, expected: list[str], match: str, right: bool) -> None:
    assert is_right(written, expected, match) is right  # type: ignore[arg-type]
