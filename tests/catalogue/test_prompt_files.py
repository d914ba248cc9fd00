"""Lists of prompts: what each form holds, and a sentence for what cannot be read."""

from __future__ import annotations

import pytest

from core.base.errors import RetortError
from core.catalogue import prompt_files

FORMS: dict[str, bytes] = {
    "a.txt": b"\xef\xbb\xbfThe river\r\n\r\nA mill  \nThe river\n",
    "a.JSONL": b'{"prompt": "The river", "id": 1}\n\n{"prompt": "A mill"}\n',
    "a.csv": b"id,prompt\n1,The river\n2,\n3,A mill\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_holds_the_same_prompts(name: str) -> None:
    assert prompt_files.read(name, FORMS[name]) == ("The river", "A mill")
    assert prompt_files.typed("The river\n\n  \nA mill\nThe river") == ("The river", "A mill")


def test_prompts_of_several_lines_stay_whole_in_forms_that_can_hold_them() -> None:
    assert prompt_files.read("a.jsonl", b'{"prompt": "One\\ntwo"}') == ("One\ntwo",)
    assert prompt_files.read("a.csv", b'prompt\n"One\ntwo"\n') == ("One\ntwo",)


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("a.pdf", b"x", "'a.pdf' is no list of prompts"),
        ("a.txt", b"one\ntw\xff\n", "Line 2 of 'a.txt' is not UTF-8"),
        ("a.txt", b"\n \n", "There is no prompt in the list"),
        ("a.txt", b"a" * 256_001, "larger than 256 kB"),
        ("a.txt", b"a\n" + b"b" * 2_001, "Prompt 2 has 2,001 characters, and at most 2,000"),
        ("a.txt", "\n".join(f"p{i}" for i in range(201)).encode(), "more than 200 prompts"),
        ("a.jsonl", b'{"prompt": "a"}\n{"prompt": 5}', "Line 2 has no text under 'prompt'"),
        ("a.jsonl", b'{"prompt": "a"}\n\n[1', "Line 3 is no JSON"),
        ("a.jsonl", b'{"prompt": "\\ud800"}', "Line 1 is no JSON"),
        ("a.csv", b"text\nhello\n", "no column 'prompt'"),
        ("a.csv", b'prompt\n"unclosed\n', "cannot be read beyond line"),
        ("a.csv", b"", "no column 'prompt'"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, raw: bytes, says: str) -> None:
    with pytest.raises(RetortError) as refusal:
        prompt_files.read(name, raw)
    assert says in refusal.value.cause and refusal.value.remedy


def test_two_hundred_are_taken() -> None:
    prompts = tuple(f"Prompt {i}" for i in range(200))
    assert prompt_files.read("a.txt", "\n".join(prompts).encode()) == prompts == prompt_files.typed("\n".join(prompts))
