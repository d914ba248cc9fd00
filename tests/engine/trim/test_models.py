"""Trimmed models: what the dense model says of the tokens that stay, loaded elsewhere by plain transformers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from core.engine.models.load import load_model
from core.engine.models.roundtrip import ReloadProcess
from core.engine.models.save import save_model
from core.engine.trim.embeddings import with_tokens
from core.engine.trim.vocabulary import Wish, trim
from tests.engine.models.zoo import CONFIGS, VOCABULARY, output, tiny
from tests.engine.trim.tokenizers_of import lines, made

FORMER = [0, 1, 2, *range(5, VOCABULARY, 2)]
ELSEWHERE = """
import json, sys
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
texts = json.loads(sys.argv[2])
ids = [tokenizer(t)["input_ids"] for t in texts]
print(json.dumps([len(tokenizer), ids, [tokenizer.decode(i, skip_special_tokens=True) for i in ids]]))
"""


@pytest.mark.parametrize("name", CONFIGS)
def test_it_says_of_its_tokens_what_the_dense_model_says(name: str, tmp_path: Path, reloader: ReloadProcess) -> None:
    dense = tiny(name)
    model = with_tokens(dense, FORMER)
    tokens = torch.randint(3, len(FORMER), (2, 14), generator=torch.Generator().manual_seed(1))
    expected = output(dense, torch.tensor(FORMER)[tokens])
    if expected.shape[-1] == VOCABULARY:
        expected = expected[..., FORMER]
    assert torch.allclose(output(model, tokens), expected, atol=1e-6)
    assert model.config.vocab_size == len(FORMER)
    head, words = model.get_output_embeddings(), model.get_input_embeddings()
    tied = dense.get_output_embeddings() is not None and dense.config.get_text_config().tie_word_embeddings
    assert (head is not None and head.weight is words.weight) == tied
    save_model(model, None, tmp_path / "model", {})
    trip = reloader.check(tmp_path / "model", tokens, output(model, tokens))
    assert trip.max_logit_difference <= 1e-6


def test_every_number_of_a_token_follows() -> None:
    dense = tiny("llama", eos_token_id=[2, 5])
    assert dense.generation_config is not None
    dense.generation_config.update(
        eos_token_id=[2, 5], suppress_tokens=[3, 9], bad_words_ids=[[7, 11]], forced_bos_token_id=7
    )
    model = with_tokens(dense, [0, 1, 2, 5, 7, 9, 11])
    config, writes = model.config, model.generation_config
    assert (config.pad_token_id, config.bos_token_id, config.eos_token_id) == (0, 1, [2, 3])
    assert writes is not None and (writes.eos_token_id, writes.suppress_tokens) == ([2, 3], [5])
    assert (writes.bad_words_ids, writes.forced_bos_token_id) == ([[4, 6]], 4)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("bytes", "llama"), ("fallback", "gemma3"), ("wordpiece", "bert-encoder"), ("unigram", "roberta")],
)
def test_it_loads_in_a_fresh_process(kind: str, name: str, tmp_path: Path) -> None:
    """With the tokenizer's settings as its model has them, and a chat template that needs a token no text has."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made(kind), bos_token="<s>", eos_token="</s>", unk_token="[UNK]", pad_token="[PAD]"
    )
    tokenizer.add_tokens(["<turn>", "<never>"])
    tokenizer.chat_template = "{% for m in messages %}<turn>{{ m['content'] }}{% endfor %}"
    dense = tiny(name, vocab_size=len(tokenizer) + 3, pad_token_id=0, bos_token_id=5, eos_token_id=6)
    save_model(dense, tokenizer, tmp_path / "dense", {})
    loaded = load_model(tmp_path / "dense", "float32")
    own, foreign = lines(200, 1, ("latin", "han")), lines(40, 3)
    trimmed, report = trim(loaded, Wish(own, 1, "own texts"), foreign, tmp_path)
    assert report.facts["own_characters_as_before"] == 1.0 > report.facts["characters_as_before"]
    assert report.facts["tokens_before"] == len(tokenizer) + 3 > report.facts["tokens"] == len(trimmed.tokenizer)
    saved = (report.facts["tokens_before"] - report.facts["tokens"]) * 4
    rows = 1 if name in ("gemma3", "bert-encoder", "roberta") else 1 + (not dense.config.tie_word_embeddings)
    assert report.facts["saved_bytes"] >= saved * rows * 48
    save_model(trimmed.model, trimmed.tokenizer, tmp_path / "out", {})
    texts = [*own[:20], *foreign, "<turn>a"]
    answer = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE, str(tmp_path / "out"), json.dumps(texts)],
        capture_output=True,
        check=True,
        text=True,
    )
    size, ids, read = json.loads(answer.stdout.splitlines()[-1])
    before = AutoTokenizer.from_pretrained(tmp_path / "dense")
    assert size == report.facts["tokens"]
    assert read == [before.decode(before(t)["input_ids"], skip_special_tokens=True) for t in texts]
    assert ids[:20] == [[_new(trimmed, before, i) for i in before(t)["input_ids"]] for t in texts[:20]]
    known = trimmed.tokenizer.get_vocab()
    assert "<turn>" in known and "<never>" not in known
    assert trimmed.model.config.eos_token_id == known["</s>"]
    assert trimmed.tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False) == "<turn>a"
    settings = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    described = settings.get("added_tokens_decoder", {})
    assert {int(i): t["content"] for i, t in described.items()} == {
        known[t["content"]]: t["content"] for t in described.values()
    }


def _new(trimmed: Any, before: Any, number: int) -> int:
    found: int = trimmed.tokenizer.get_vocab()[before.convert_ids_to_tokens(number)]
    return found
