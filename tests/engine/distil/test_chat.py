"""Chat data of all shapes: what the template makes of it is what is learned, and what cannot be is counted and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.data.conversations import Conversation
from core.engine.distil.loading import check_chat, load_examples
from core.engine.distil.texts import conversation, conversations
from core.engine.models.load import Loaded
from core.recipe.distil import TrainingData

END = "<|endoftext|>"
TEXT_ONLY = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}"
    + END
    + "{% endfor %}"
    + ("{% if add_generation_prompt %}[assistant]{% endif %}")
)
CONCATENATES = TEXT_ONLY.replace("{{ m['content'] }}", "{{ '' + m['content'] }}")
KNOWS_PARTS = TEXT_ONLY.replace(
    "{{ m['content'] }}",
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}<{{ p['type'] }}>"
    "{{ p['text'] }}{% endfor %}{% endif %}",
)
KNOWS_TOOLS = TEXT_ONLY.replace(
    "{{ m['content'] }}",
    "{% if m.tool_calls is defined %}call {{ m.tool_calls[0].function.name }}{% elif m.content is none %}nothing"
    "{% else %}{{ m.content }}{% endif %}",
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"


@pytest.fixture
def tokenizer(tiny_llama: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_llama)


def part(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text[:3]}, {"type": "text", "text": text[3:]}]


def talk(user: Any, assistant: Any, **more: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": user}, {"role": "assistant", "content": assistant, **more}]


def learnt(messages: Any, tokenizer: Any) -> tuple[str, str]:
    """The whole text, and what of it counts."""
    ids, counted = conversation(messages, tokenizer, None)
    return tokenizer.decode(ids), tokenizer.decode(ids[counted])


@pytest.mark.parametrize("template", [TEXT_ONLY, CONCATENATES])
def test_parts_are_text_to_a_template_that_knows_only_text(template: str, tokenizer: Any) -> None:
    tokenizer.chat_template = template
    whole = f"[user]question{END}[assistant]answer{END}"
    assert learnt(talk(part("question"), part("answer")), tokenizer) == (whole, f"answer{END}")
    assert learnt(talk("question", part("answer")), tokenizer) == (whole, f"answer{END}")


def test_parts_reach_a_template_that_knows_them(tokenizer: Any) -> None:
    tokenizer.chat_template = KNOWS_PARTS
    whole, counted = learnt(talk(part("question"), part("answer")), tokenizer)
    assert whole == tokenizer.apply_chat_template(talk(part("question"), part("answer")), tokenize=False)
    assert counted == f"<text>ans<text>wer{END}"


def test_parts_without_a_template(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    assert learnt(talk(part("question"), part("answer")), tokenizer) == (f"questionanswer{END}", f"answer{END}")


def test_parts_that_are_no_text_are_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = TEXT_ONLY
    rows = [talk([{"type": "image", "url": "x.png"}], "a cat")]
    with pytest.raises(RetortError, match="1 of 1 conversations .* number 1: a message holds image that are no text"):
        conversations(rows, tokenizer, 64)


def test_no_content_is_no_text_and_not_the_word_none(tokenizer: Any) -> None:
    tokenizer.chat_template = TEXT_ONLY
    messages = [{"role": "user", "content": None}, {"role": "assistant", "content": "Yes."}]
    assert learnt(messages, tokenizer)[0] == f"[user]{END}[assistant]Yes.{END}"
    spoken = talk("None of them", "None at all")
    assert learnt(spoken, tokenizer)[0] == f"[user]None of them{END}[assistant]None at all{END}"


def test_tool_calls_go_through_the_template(tokenizer: Any) -> None:
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Bonn"}}}
    messages = talk("How is the weather?", None, tool_calls=[call])
    tokenizer.chat_template = KNOWS_TOOLS
    assert learnt(messages, tokenizer)[1] == f"call weather{END}"
    filled = [{**m, "tool_call_id": None, "name": None, "tool_calls": m.get("tool_calls")} for m in messages]
    assert learnt(filled, tokenizer) == learnt(messages, tokenizer), "empty fields of a table are no fields"
    tokenizer.chat_template = TEXT_ONLY
    with pytest.raises(RetortError, match="leaves out what an assistant calls"):
        conversations([messages], tokenizer, 64)


def test_tools_reach_the_template(tokenizer: Any) -> None:
    tokenizer.chat_template = "{% for t in tools or [] %}<{{ t.function.name }}>{% endfor %}" + TEXT_ONLY
    tools = [{"type": "function", "function": {"name": "weather", "description": "", "parameters": {}}}]
    assert learnt(Conversation(talk("a", "b"), tools), tokenizer)[0].startswith("<weather>[user]a")


def test_a_template_that_refuses_all_is_quoted_with_the_row(tokenizer: Any) -> None:
    tokenizer.chat_template = NO_SYSTEM + TEXT_ONLY
    rows = [talk("a", "b"), [{"role": "system", "content": "Be brief."}, *talk("a", "b")]]
    with pytest.raises(RetortError, match=r"1 of 2 .* number 2: the model's template says 'System role not supported'"):
        conversations(rows, tokenizer, 64)


def test_a_small_share_that_is_refused_is_left_out_and_said(tokenizer: Any) -> None:
    tokenizer.chat_template = NO_SYSTEM + TEXT_ONLY
    said: list[str] = []
    rows = [talk(f"question {i}", f"answer {i}") for i in range(19)]
    rows.insert(7, [{"role": "system", "content": "Be brief."}, *talk("a", "b")])
    kept = conversations(rows, tokenizer, 64, say=said.append)
    assert len(kept) == 19 and len(said) == 1
    assert said[0].startswith("1 of 20 conversations were left out; the first is number 8:")


def test_what_is_too_long_is_counted_and_so_is_what_is_cut(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    said: list[str] = []
    rows = [talk("word " * (400 if i % 2 else 1), "yes") for i in range(6)] + [talk("a", "word " * 100)]
    kept = conversations(rows, tokenizer, 32, say=said.append)
    assert len(kept) == 4 and all(len(ids) <= 32 for ids, _ in kept)
    assert said == [
        "3 of 7 conversations have no answer within 32 tokens and were left out.",
        "1 of 7 conversations are longer than 32 tokens and were cut there.",
    ]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_mixed_rows_of_a_file(form: str, home: Settings, teacher: Loaded) -> None:
    teacher.tokenizer.chat_template = KNOWS_TOOLS
    call = {"type": "function", "function": {"name": "weather", "arguments": "{}"}}
    rows: list[dict[str, Any]] = [{"messages": talk("a", "b")}, {"messages": talk("c", None, tool_calls=[call])}]
    path = home.roots[0] / f"talk.{form}"
    if form == "jsonl":
        rows.append({"messages": talk(part("question"), part("answer"))})
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    examples = load_examples(TrainingData(data=f"path:{path}", form="chat", length=64), teacher, home, LOCAL)
    batch = examples.take(range(examples.count or 0), 0)
    texts = [teacher.tokenizer.decode(ids[mask]) for ids, mask in zip(batch.ids, batch.attended, strict=True)]
    expected = [f"[user]a{END}[assistant]b{END}", f"[user]c{END}[assistant]call weather{END}"]
    assert texts[:2] == expected and len(texts) == len(rows)


def test_a_row_that_is_no_conversation_is_named(home: Settings, teacher: Loaded) -> None:
    path = home.roots[0] / "talk.jsonl"
    path.write_text(json.dumps({"messages": talk("a", "b")}) + '\n{"messages": "hello"}\n')
    with pytest.raises(RetortError, match="'messages' in line 2 of talk.jsonl is no list of messages"):
        load_examples(TrainingData(data=f"path:{path}", form="chat", length=64), teacher, home, LOCAL)


def test_the_first_rows_are_checked_before_any_work(home: Settings, tokenizer: Any) -> None:
    path = home.roots[0] / "talk.jsonl"
    path.write_text((json.dumps({"messages": [{"role": "system", "content": "x"}, *talk("a", "b")]}) + "\n") * 5)
    data = TrainingData(data=f"path:{path}", form="chat", length=64)
    tokenizer.chat_template = TEXT_ONLY
    check_chat(data, tokenizer, home, LOCAL)
    tokenizer.chat_template = NO_SYSTEM + TEXT_ONLY
    with pytest.raises(RetortError, match="System role not supported"):
        check_chat(data, tokenizer, home, LOCAL)
