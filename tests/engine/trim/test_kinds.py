"""Trimmed tokenizers of every kind, compared with those they came from, text by text and by the definition."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from core.base.errors import Impossible
from core.engine.data.window_texts import placed_ids, window_texts
from core.engine.trim.bpe import passed_through, ranks_of
from core.engine.trim.measured import compared, counted
from core.engine.trim.needed import needed_tokens
from core.engine.trim.rebuild import Rebuilt, numbers, rebuilt
from tests.engine.trim.tokenizers_of import KINDS, SPECIAL, lines, made

OWN = lines(300, 1, ("latin", "cyrillic", "han", "code"))  # what the vocabulary is trimmed to
FOREIGN = [*lines(10_000, 2), "ꙮ ѣ 𝔘 never seen: ῷ 龘 ﷽ 👩‍🚀", "", "   ", "ß" * 40]


def trimmed(tokenizer: Tokenizer, texts: list[str], floor: int = 1) -> tuple[Tokenizer, Rebuilt]:
    definition: dict[str, Any] = json.loads(tokenizer.to_str())
    wanted = {t for t, count in counted(texts, tokenizer).items() if count >= floor}
    found = rebuilt(definition, needed_tokens(definition, wanted), set(SPECIAL))
    return Tokenizer.from_str(json.dumps(found.definition)), found


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest) -> tuple[Tokenizer, Tokenizer, Rebuilt]:
    before = made(request.param)
    after, found = trimmed(before, OWN)
    return before, after, found


def test_it_is_smaller_and_numbers_its_tokens_anew(pair: tuple[Tokenizer, Tokenizer, Rebuilt]) -> None:
    before, after, found = pair
    names, old = after.get_vocab(), before.get_vocab()
    assert len(names) == len(found.former) < 0.9 * len(old)
    assert {name: found.former[i] for name, i in names.items()} == {name: old[name] for name in names}
    assert sorted(names.values()) == list(range(len(names)))
    assert found.former == sorted(found.former)


def test_texts_of_kept_tokens_are_cut_as_before(pair: tuple[Tokenizer, Tokenizer, Rebuilt]) -> None:
    """Those it was trimmed to, and every other line whose tokens happen to be kept."""
    before, after, _ = pair
    kept = set(after.get_vocab())
    same = 0
    for text in (*OWN, *FOREIGN):
        old = before.encode(text)
        if set(old.tokens) <= kept:
            assert after.encode(text).tokens == old.tokens, text
            same += 1
    assert same > len(OWN) + 100


def test_every_text_is_written_and_read_back_as_before(pair: tuple[Tokenizer, Tokenizer, Rebuilt]) -> None:
    before, after, _ = pair
    unknown = after.token_to_id("[UNK]")
    for text, old in zip(FOREIGN, before.encode_batch(FOREIGN), strict=True):
        new = after.encode(text)
        assert after.decode(new.ids) == before.decode(old.ids), text
        assert new.ids.count(unknown) == old.ids.count(before.token_to_id("[UNK]")), text


def test_the_frame_follows(pair: tuple[Tokenizer, Tokenizer, Rebuilt]) -> None:
    before, after, _ = pair
    old, new = before.encode("a"), after.encode("a")
    assert (new.tokens[0], new.tokens[-1]) == (old.tokens[0], old.tokens[-1])
    assert [after.id_to_token(i) for i in new.ids] == new.tokens


def test_figures_are_those_of_a_count_by_hand() -> None:
    before = made("bytes")
    after, _ = trimmed(before, OWN)
    texts = ["the river", "αβ", FOREIGN[0]]
    cut = compared(texts, before, after)
    mine, theirs = ([t.encode(x, add_special_tokens=False) for x in texts] for t in (before, after))
    assert (cut.before, cut.after) == tuple(sum(len(e.ids) for e in found) for found in (mine, theirs))
    places: list[tuple[int, int]] = []
    for number, (one, other) in enumerate(zip(mine, theirs, strict=True)):
        both = set(zip(one.offsets, one.tokens, strict=True)) & set(zip(other.offsets, other.tokens, strict=True))
        places += {(number, at) for (start, end), _ in both for at in range(start, end)}
    assert (cut.characters, cut.as_before) == (sum(map(len, texts)), len(places))
    assert compared(["the river"], before, before).share == 1.0


def test_the_text_of_a_window_is_counted_in_bytes_and_found_again_in_other_tokens() -> None:
    before = PreTrainedTokenizerFast(tokenizer_object=made("bytes"))
    after = PreTrainedTokenizerFast(tokenizer_object=trimmed(made("bytes"), OWN)[0])
    row = before("naïve маяк 河流 never", add_special_tokens=False)["input_ids"]
    (text,) = window_texts(torch.tensor([row]), before, 0)
    assert text.whole == "naïve маяк 河流 never"
    assert text.bytes == len(text.whole.encode()) - len(text.given.encode()) > len(text.asked)
    ids, first = placed_ids(text, after, ())
    assert (after.decode(ids[:first]), after.decode(ids[first:])) == (text.given, text.asked)


def test_a_floor_leaves_rarer_tokens_out() -> None:
    before = made("bytes")
    few, many = (trimmed(before, OWN, floor)[0].get_vocab_size() for floor in (20, 1))
    assert 256 + len(SPECIAL) <= few < many


def test_merging_passes_through_the_parents() -> None:
    merges = [["l", "o"], ["lo", "w"], ["e", "r"], ["low", "er"], ["w", "e"]]
    assert passed_through("lower", ranks_of(merges)) == {*"lower", "lo", "low", "er", "lower"}
    assert passed_through("low</w>", ranks_of(["l o", "lo w</w>"]), "</w>") == {"l", "o", "w</w>", "lo", "low</w>"}


def test_a_piece_that_cannot_be_spelled_stays() -> None:
    model = {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "a": 1, "##b": 2, "ab": 3, "ac": 4}}
    assert needed_tokens({"model": model}, set()) == {"[UNK]", "a", "##b", "ac"}
    unigram = {"type": "Unigram", "unk_id": 0, "vocab": [["u", 0.0], ["a", -1.0], ["b", -9.0], ["ab", -2], ["ac", -3]]}
    assert needed_tokens({"model": unigram}, set()) == {"u", "a", "b", "ac"}


def test_other_kinds_are_refused_by_name() -> None:
    definition = json.loads(Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a")).to_str())
    with pytest.raises(Impossible, match="'WordLevel' tokenizer cannot be trimmed"):
        needed_tokens(definition, {"a"})


def test_tokens_added_beyond_the_model_come_last() -> None:
    before = made("bytes")
    before.add_special_tokens(["<|im_start|>"])
    before.add_tokens(["<tool>", "<never>"])
    definition = json.loads(before.to_str())
    found = rebuilt(definition, needed_tokens(definition, {"the"}), {*SPECIAL, "<|im_start|>", "<tool>"})
    after = Tokenizer.from_str(json.dumps(found.definition))
    assert [after.id_to_token(i) for i in range(len(found.former))][-2:] == ["<|im_start|>", "<tool>"]
    assert after.token_to_id("<never>") is None
    assert {t: found.former[i] for t, i in after.get_vocab().items()} == {
        t: i for t, i in numbers(definition).items() if t in after.get_vocab()
    }
    assert "<tool>" in after.encode("x<tool>y").tokens
