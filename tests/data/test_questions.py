"""Questions out of files: columns told by name, right options named in four ways, and what cannot be told refused."""

from __future__ import annotations

import pytest

from core.base.errors import RetortError
from core.base.settings import Settings
from core.data.preview import preview
from core.data.questions import Questions, left_to_ask, questions_of
from core.data.tables import open_data
from core.recipe.own_tasks import OwnTask
from core.recipe.parts import Columns


def read(home: Settings, name: str, text: str, **said: object) -> Questions:
    path = home.roots[0] / name
    path.write_text(text)
    task = OwnTask.model_validate({"name": "own", "data": f"path:{path}", **said})
    return questions_of(open_data(str(path), home), task)


@pytest.mark.parametrize(
    ("name", "text", "golds", "how"),
    [
        ("a.csv", "question,A,B,C,answer\nhot?,ice,fire,,B\ncold?,ice,fire,sun,a\n", [1, 0], "its letter"),
        ("b.csv", "question;options;label\nhot?;ice|fire;fire\ncold?;ice|fire;ice\n", [1, 0], "the text"),
        (
            "c.jsonl",
            '{"q": 1, "question": "hot?", "choices": ["ice", "fire"], "answer": 1}\n'
            '{"question": "cold?", "choices": ["ice", "fire"], "answer": 0}\n',
            [1, 0],
            "counted from 0",
        ),
        (
            "d.jsonl",
            '{"question": "hot?", "option1": "ice", "option2": "fire", "answer": "2"}\n'
            '{"question": "cold?", "option1": "ice", "option2": "fire", "answer": "1"}\n',
            [1, 0],
            "counted from 1",
        ),
        (
            "e.jsonl",
            '{"question": "hot?", "choices": {"text": ["ice", "fire"], "label": ["A", "B"]}, "key": "B"}\n'
            '{"question": "cold?", "choices": {"text": ["ice", "fire"], "label": ["A", "B"]}, "key": "A"}\n',
            [1, 0],
            "its letter",
        ),
        ("f.csv", "question,options,answer\n2 + 2?,3|4,4\n1 + 2?,4|3,3\n", [1, 1], "the text"),
    ],
)
def test_the_right_option_is_found_however_it_is_named(
    home: Settings, name: str, text: str, golds: list[int], how: str
) -> None:
    found = read(home, name, text)
    assert found.kind == "choice" and [q.gold for q in found.rows] == golds
    assert [q.options[q.gold] for q in found.rows] != ["ice", "fire"]
    assert any(how in note for note in found.notes), found.notes


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("h.csv", "question,A,B,C,answer\nhot?,ice,,fire,C\ncold?,ice,fire,sun,A\nwarm?,ice,sun,,B\n"),
        ("o.csv", "question,options,answer\nhot?,ice||fire,C\ncold?,ice|fire|sun,A\nwarm?,ice|sun|,B\n"),
        (
            "l.jsonl",
            '{"question": "hot?", "options": ["ice", null, "fire"], "answer": "C"}\n'
            '{"question": "cold?", "options": ["ice", "fire", "sun"], "answer": "A"}\n'
            '{"question": "warm?", "options": ["ice", "sun", ""], "answer": "B"}\n',
        ),
    ],
)
def test_an_empty_option_moves_no_letter(home: Settings, name: str, text: str) -> None:
    """Without the empty one before it, C would name what stands second, or nothing."""
    found = read(home, name, text)
    assert [(q.text, q.options, q.gold) for q in found.rows] == [
        ("cold?", ("ice", "fire", "sun"), 0),
        ("warm?", ("ice", "sun"), 1),
    ]
    assert any("an empty option before others" in note for note in found.notes), found.notes


def test_answers_to_write_may_be_several(home: Settings) -> None:
    text = '{"prompt": "Capital?", "answers": ["Paris", "City of Light"]}\n{"prompt": "5 + 5?", "answers": 10}\n'
    found = read(home, "w.jsonl", text)
    assert found.kind == "written"
    assert [(q.text, q.answers) for q in found.rows] == [("Capital?", ("Paris", "City of Light")), ("5 + 5?", ("10",))]
    assert found.notes == (
        "Of w.jsonl the columns were told by their names: question from 'prompt', answer from 'answers'.",
    )


@pytest.mark.parametrize(
    ("text", "said", "cause"),
    [
        ("question,A,B,C,answer\nx,1a,2a,3a,1\ny,1a,2a,3a,2\n", {}, "counted from 0 or from 1 cannot be told"),
        ("question,A,B,answer\nx,ice,fire,sun\n", {}, "'sun' in line 2 of q.csv names none of the options (ice; fire)"),
        ("question,A,B,answer\nx,ice,fire,C\ny,ice,fire,B\n", {}, "'C' in line 2 of q.csv names none"),
        ("question,text2\nx,y\n", {}, "q.csv has no column that could be the answer (it has: question, text2)"),
        ("question,answer\nx,y\n", {"kind": "choice"}, "q.csv has no column that could be the options"),
        ("question,A,B,answer\nx,1,2,A\n", {"columns": {"answer": "gold"}}, "q.csv has no column 'gold'"),
        ("question,answer\n,y\n", {}, "q.csv has no row with both a question and its answer"),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_row(
    home: Settings, text: str, said: dict[str, object], cause: str
) -> None:
    with pytest.raises(RetortError) as caught:
        read(home, "q.csv", text, **said)
    assert cause in caught.value.cause, caught.value.cause


def test_the_recipe_says_what_could_be_either(home: Settings) -> None:
    text = "question,A,B,C,answer\nx,a,b,c,1\ny,a,b,c,2\n"
    assert [q.gold for q in read(home, "q.csv", text, answers="index").rows] == [1, 2]
    assert [q.gold for q in read(home, "q.csv", text, answers="number").rows] == [0, 1]


def test_rows_that_lack_something_are_left_out_and_counted(home: Settings) -> None:
    rows = "".join(f"q{i},a,b,A\n" for i in range(4))
    found = read(home, "q.csv", f"question,A,B,answer\n{rows}no answer,a,b,\n,a,b,A\none option,a,,A\n")
    assert len(found.rows) == 4
    assert [n for n in found.notes if "left out" in n] == [
        "1 of 7 rows has no answer and was left out; the first is line 6 of q.csv.",
        "1 of 7 rows has no question and was left out; the first is line 7 of q.csv.",
        "1 of 7 rows has fewer than two options and was left out; the first is line 8 of q.csv.",
    ]


def test_examples_are_not_asked(home: Settings) -> None:
    text = "question,answer\n" + "".join(f"q{i},{i}\n" for i in range(5))
    task = OwnTask(name="own", data="path:/q.csv", shots=2)
    found = read(home, "q.csv", text)
    assert [q.text for q in left_to_ask(found, task, None)] == ["q2", "q3", "q4"]
    assert [q.text for q in left_to_ask(found, task, 2)] == ["q2", "q3"]
    with pytest.raises(RetortError, match="the first 4 serve as examples: one is left to ask"):
        left_to_ask(found, OwnTask(name="own", data="path:/q.csv", shots=4), None)


def test_a_look_at_a_file_says_what_it_asks(home: Settings) -> None:
    path = home.roots[0] / "q.csv"
    path.write_text("question,A,B,answer\nhot?,ice,fire,B\ncold?,ice,fire,A\n")
    asked = preview(f"path:{path}", Columns(), home).readings[-1]
    assert (asked.use, asked.rows) == ("questions with options", 2)
    assert asked.columns == {"question": "question", "options": "A, B", "answer": "answer"}
    assert asked.notes == ("The right option was read as its letter.",)
