"""Conversations as running text: through the model's own chat template, wherever they are read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.engine.data.corpora import load_texts
from core.recipe.parts import Columns
from core.recipe.recipe import Calibration, Corpus, Evaluation
from tests.engine.models.wild import framed

TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
SHARED = {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]}
USUAL = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]}
TURN = {"instruction": "Why?", "output": "So."}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    found = framed()
    found.chat_template = TEMPLATE
    return found


def read(home: Settings, rows: list[Any], tokenizer: Any, kind: type[Corpus] = Corpus, **columns: str) -> Any:
    path = home.roots[0] / "talk.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    said: list[str] = []
    corpus = kind(data=f"path:{path}", split=None, columns=Columns(**columns) if columns else None)
    return load_texts(corpus, home, LOCAL, tokenizer, said.append), said


@pytest.mark.parametrize("kind", [Calibration, Evaluation])
@pytest.mark.parametrize("row", [SHARED, USUAL, TURN, {"messages": json.dumps(USUAL["messages"])}])
def test_all_forms_of_a_conversation_are_one_text(home: Settings, tokenizer: Any, row: Any, kind: type[Corpus]) -> None:
    texts, said = read(home, [row], tokenizer, kind)
    assert texts == ["<user>Why?<assistant>So."]
    assert said[0].startswith("Of talk.jsonl the columns were told by their names: ")


def test_without_a_template_answers_are_closed(home: Settings) -> None:
    assert read(home, [USUAL], framed())[0] == ["Why?So.</s>"]


def test_a_few_refused_conversations_are_left_out_and_said(home: Settings) -> None:
    strict = framed()
    strict.chat_template = "{% if messages[0]['role'] != 'user' %}{{ raise_exception('no') }}{% endif %}" + TEMPLATE
    bad = {"messages": [{"role": "assistant", "content": "Hm."}]}
    texts, said = read(home, [USUAL] * 19 + [bad, {"messages": None}], strict)
    assert len(texts) == 19
    assert said[1:] == [
        "1 of 21 rows has a conversation that the model's chat template does not take and was left out; the first is "
        "line 20 of talk.jsonl: the model's template says 'no'.",
        "1 of 21 rows has no conversation and was left out; the first is line 21 of talk.jsonl.",
    ]
    with pytest.raises(RetortError, match="2 of 3 rows have a conversation that the model's chat template does not"):
        read(home, [USUAL, bad, bad], strict)


def test_a_named_text_column_goes_before_messages(home: Settings, tokenizer: Any) -> None:
    assert read(home, [{**USUAL, "note": "Mind it"}], tokenizer, text="note")[0] == ["Mind it"]
