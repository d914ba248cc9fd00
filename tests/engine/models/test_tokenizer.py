"""The tokenizer is what its file says, read by the tokenizers library alone, whatever class transformers takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer, GPT2Config

from core.base.errors import RetortError
from core.engine.models.load import load_model
from core.engine.models.probes import PROBES
from core.engine.models.save import save_model
from core.engine.models.tokenizer import REPLACED, open_tokenizer
from tests.engine.models.wild import edit, framed, tokenizer_files

CASES = [
    # what the file says, the model's type, the class its settings name, whether transformers 5 replaces it
    ("metaspace", "qwen2", "PreTrainedTokenizerFast", True),
    ("digits", "qwen2", "Qwen2Tokenizer", True),
    ("whole lines", "llama", "GPT2Tokenizer", True),
    ("lower case", "llama", "GPT2TokenizerFast", True),
    ("metaspace", "llama", "PreTrainedTokenizerFast", False),
    ("bytes", "llama", "PreTrainedTokenizerFast", False),
    ("words", "llama", "PreTrainedTokenizerFast", False),
    ("words", "llama", "BertTokenizer", True),
    ("unigram", "llama", "PreTrainedTokenizerFast", False),
    ("unigram", "llama", "T5Tokenizer", True),
]


@pytest.mark.parametrize(("kind", "family", "named", "replaced"), CASES)
def test_text_is_cut_as_the_file_says(
    kind: str, family: str, named: str, replaced: bool, tiny_llama: Path, tmp_path: Path
) -> None:
    file = tokenizer_files(tiny_llama, tmp_path / "in", kind, family, named)
    opened = open_tokenizer(tmp_path / "in")
    for text in PROBES:
        ids = file.encode(text, add_special_tokens=False).ids
        assert opened.tokenizer(text, add_special_tokens=False)["input_ids"] == ids
        assert opened.tokenizer.backend_tokenizer.decode(ids) == file.decode(ids)
    assert opened.remarks == ((REPLACED,) if replaced else ())
    assert (opened.tokenizer.bos_token, opened.tokenizer.eos_token) == ("<s>", "</s>")


def test_a_class_adds_no_tokens_of_its_own(tiny_llama: Path, tmp_path: Path) -> None:
    """Qwen2's adds <|endoftext|> to a vocabulary without it, beyond the embeddings; one the settings name is kept."""
    file = tokenizer_files(tiny_llama, tmp_path / "in", "qwen2", "qwen2", "Qwen2Tokenizer")
    assert "<|endoftext|>" in AutoTokenizer.from_pretrained(tmp_path / "in").get_vocab()
    assert open_tokenizer(tmp_path / "in").tokenizer.get_vocab() == file.get_vocab()
    edit(tmp_path / "in", "tokenizer_config.json", additional_special_tokens=["<more>"])
    assert set(open_tokenizer(tmp_path / "in").tokenizer.get_vocab()) == {*file.get_vocab(), "<more>"}


def test_the_case_that_was_reported(tiny_llama: Path, tmp_path: Path) -> None:
    """'Hello world, the game ended' lost its spaces in what was exported."""
    tokenizer_files(tiny_llama, tmp_path / "in", "metaspace", "qwen2")
    loaded = load_model(tmp_path / "in", "float32")
    text = "Hello world, the game ended"
    assert loaded.remarks == (REPLACED,)
    assert loaded.tokenizer.decode(loaded.tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", {})
    exported = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    assert exported.decode(exported.encode(text).ids) == text
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (tmp_path / "in" / "tokenizer.json").read_bytes()


def test_plain_transformers_reads_the_export_right_where_the_class_alone_was_wrong(
    tiny_llama: Path, tmp_path: Path
) -> None:
    file = tokenizer_files(tiny_llama, tmp_path / "in", "whole lines", "llama", "GPT2Tokenizer")
    loaded = load_model(tmp_path / "in", "float32")
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", {})
    plain = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert [plain(t, add_special_tokens=False)["input_ids"] for t in PROBES] == [
        file.encode(t, add_special_tokens=False).ids for t in PROBES
    ]
    assert "PreTrainedTokenizerFast.from_pretrained" not in (tmp_path / "out" / "README.md").read_text()


def test_flags_roles_and_templates_of_the_folder_stay(tiny_llama: Path, tmp_path: Path) -> None:
    tokenizer_files(tiny_llama, tmp_path / "in", "whole lines", "llama", "GPT2Tokenizer")
    edit(
        tmp_path / "in",
        "tokenizer_config.json",
        model_max_length=77,
        padding_side="left",
        chat_template="{% for m in messages %}<s>{{ m['content'] }}</s>\n{% endfor %}",
        pad_token="</s>",
    )
    found = open_tokenizer(tmp_path / "in").tokenizer
    assert (found.model_max_length, found.padding_side, found.pad_token) == (77, "left", "</s>")
    assert found.apply_chat_template([{"role": "user", "content": "a & <b>"}], tokenize=False) == "<s>a & <b></s>\n"
    loaded = load_model(tmp_path / "in", "float32")
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", {})
    again = open_tokenizer(tmp_path / "out").tokenizer
    assert again.chat_template == found.chat_template and again.model_max_length == 77


def test_a_start_token_that_only_the_settings_ask_for_is_said(tiny_llama: Path, tmp_path: Path) -> None:
    tokenizer_files(tiny_llama, tmp_path / "in", "bytes")
    for asked, said in ((True, "'start_token: each'"), (None, ""), (False, "")):
        edit(tmp_path / "in", "tokenizer_config.json", add_bos_token=asked)
        opened = open_tokenizer(tmp_path / "in")
        assert opened.tokenizer("x")["input_ids"][0] != 1
        assert "".join(opened.remarks).endswith(f"{said}." if said else "") and bool(opened.remarks) is bool(said)
    framed("<s>").save_pretrained(tmp_path / "in")
    edit(tmp_path / "in", "tokenizer_config.json", add_bos_token=False)
    assert "unless the recipe says 'start_token: none'" in open_tokenizer(tmp_path / "in").remarks[0]


def test_what_is_written_names_only_what_every_version_knows(tiny_llama: Path, tmp_path: Path) -> None:
    folder = edit(
        _copied(tiny_llama, tmp_path / "in"),
        "tokenizer_config.json",
        tokenizer_class="TokenizersBackend",
        backend="tokenizers",
        is_local=True,
        extra_special_tokens=["<|endoftext|>"],
    )
    loaded = load_model(folder, "float32")
    save_model(loaded.model, loaded.tokenizer, tmp_path / "out", {})
    written: dict[str, Any] = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert written["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert written["additional_special_tokens"] == ["<|endoftext|>"]
    assert not {"backend", "is_local", "extra_special_tokens"} & set(written)


def test_damaged_files_are_refused_plainly(tiny_llama: Path, tmp_path: Path) -> None:
    for number, text in enumerate(
        ("{}", '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["x", "y"]]}}', "[", "\x00")
    ):
        folder = _copied(tiny_llama, tmp_path / str(number))
        (folder / "tokenizer.json").write_text(text)
        with pytest.raises(RetortError, match="tokenizer"):
            open_tokenizer(folder)


def _copied(source: Path, target: Path) -> Path:
    import shutil

    return Path(shutil.copytree(source, target))


def test_a_folder_without_a_tokenizer_is_refused_where_transformers_makes_an_empty_one(tmp_path: Path) -> None:
    """transformers 5.24 gives a GPT-2 without its files a tokenizer of one token, which reads every text as nothing."""
    GPT2Config(vocab_size=96, n_embd=32, n_layer=2, n_head=4).save_pretrained(tmp_path)
    with pytest.raises(RetortError, match="reads no text"):
        open_tokenizer(tmp_path)
