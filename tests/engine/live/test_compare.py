"""The operations of the Compare page: their events, their refusals, and that they end when nobody waits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from core.base.errors import Cancelled, RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.references import ResolvedModel, resolve
from core.engine.live.forced import forced
from core.engine.live.generate import MOST_CHARACTERS, generate
from core.engine.live.prompt_set import SET_TOKENS, compare_set
from core.engine.models.load import Loaded, load_model
from core.registry.prompts import PROMPTS
from tests.engine.live.texts import write_hostile_tokenizer


class Models:
    """A host of the models under a home; `stop_after` checkpoints it says that nobody waits."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.actor = settings, LOCAL
        self.loaded: dict[str, Loaded] = {}
        self.kept: dict[str, dict[str, Any]] = {}
        self.stop_after = 10_000

    def resolved(self, reference: str) -> ResolvedModel:
        return resolve(reference, self.settings, LOCAL)

    def model(self, model: str | Path, dtype: str = "auto") -> Loaded:
        return self.loaded.setdefault(str(model), load_model(self.resolved(str(model)).folder, "float32"))

    def beside(self, model: str | Path, dtype: str = "auto") -> dict[str, Any]:
        return self.kept.setdefault(str(model), {})

    def checkpoint(self) -> None:
        self.stop_after -= 1
        if self.stop_after < 0:
            raise Cancelled


@pytest.fixture
def host(home: Settings, tiny_llama: Path) -> Models:
    """Two models, `one` and `two`, with the same tokenizer and different weights."""
    for seed, name in enumerate(("one", "two")):
        folder = home.home / "models" / name
        shutil.copytree(tiny_llama, folder)
        loaded = load_model(folder, "float32")
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in loaded.model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(0.0, 0.3)
        loaded.model.save_pretrained(folder)
    return Models(home)


def named(host: Models, *names: str) -> list[str]:
    return [f"path:{host.settings.home / 'models' / n}" for n in names]


def all_of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    json.dumps(events, allow_nan=False)  # what goes over the wire
    return [e[kind] for e in events if kind in e]


def test_each_model_writes_in_turn(host: Models) -> None:
    events = list(generate(host, {"models": named(host, "one", "two"), "prompt": "The river", "tokens": 6}))
    texts = all_of(events, "text")
    assert [t["model"] for t in texts] == sorted(t["model"] for t in texts)
    last = [t for t in texts if t["done"]]
    assert len(last) == 2 and last[0]["text"] != last[1]["text"]
    for found in last:
        grown = [t["text"] for t in texts if t["model"] == found["model"]]
        assert len(grown) > 3 and found["tokens"] == len(grown) - 1
        assert found["first_seconds"] > 0 and found["per_second"] > 0
    again = all_of(list(generate(host, {"models": named(host, "one"), "prompt": "The river", "tokens": 6})), "text")
    assert again[-1]["text"] == last[0]["text"]


def test_the_teachers_own_text_is_what_is_compared(host: Models) -> None:
    models = named(host, "one", "two")
    written = all_of(list(generate(host, {"models": models[:1], "prompt": "The river", "tokens": 8})), "text")[-1]
    strip = all_of(list(forced(host, {"models": models, "prompt": "The river", "tokens": 8})), "strip")[0]
    given = [t for t in strip["tokens"] if t["kl"] is None]
    compared = [t for t in strip["tokens"] if t["kl"] is not None]
    assert "".join(t["text"] for t in given) == "The river"
    assert "".join(t["text"] for t in compared) == written["text"]
    assert all(t["teacher"][0][0] == t["text"] for t in compared), "it writes what it finds likeliest"
    assert strip["compared"] == written["tokens"] and not strip["cut"]


def test_a_long_text_is_cut_and_says_so(host: Models) -> None:
    request = {"models": named(host, "one", "two"), "text": "The old mill. " * 8_000}
    strip = all_of(list(forced(host, request)), "strip")[0]
    assert strip["cut"] and strip["compared"] == 255, "the context of the tiny model, less its first token"


def test_the_prompt_set_is_summed_up(host: Models) -> None:
    models = named(host, "one", "two", "two")
    events = list(compare_set(host, {"models": models}))
    rows, results = all_of(events, "row"), all_of(events, "result")
    assert len(results) == 1, "a model named twice is compared once"
    assert [r["prompt"] for r in rows] == list(PROMPTS)
    assert results[0]["mean"] == pytest.approx(sum(r["mean"] for r in rows) / len(rows))
    agreeing = sum(r["agreement"] / 100 * r["compared"] for r in rows)
    assert results[0]["agreement"] == pytest.approx(100 * agreeing / sum(r["compared"] for r in rows))
    assert results[0]["low"] < results[0]["mean"] < results[0]["high"]
    assert max(r["compared"] for r in rows) == SET_TOKENS


def test_own_prompts_are_written_after_and_compared(host: Models) -> None:
    """Both texts of a prompt are those that `generate` writes with the same settings, and a strip holds the first."""
    models, how = named(host, "one", "two"), {"tokens": 6, "temperature": 0.9, "seed": 11}
    prompts = ["The river", "A mill", "The river", "  "]
    rows = all_of(list(compare_set(host, {"models": models, "prompts": prompts, **how})), "row")
    assert [(r["number"], r["prompt"]) for r in rows] == [(0, "The river"), (1, "A mill")]
    for row in rows:
        asked = {"models": models, "prompt": row["prompt"], **how}
        written = [t["text"] for t in all_of(list(generate(host, asked)), "text") if t["done"]]
        assert [row["text"], row["own"]] == written
        assert "".join(t["text"] for t in row["tokens"]) == row["text"]
    too_many = [f"Prompt {i}" for i in range(201)]
    with pytest.raises(RetortError, match="201 prompts, and at most 200"):
        list(compare_set(host, {"models": models, "prompts": too_many}))


def test_a_drawn_text_is_that_of_plain_transformers(host: Models) -> None:
    """The same seed gives the same text: softmax(logits / T) of a plain model, drawn by torch with that seed."""
    folder = host.settings.home / "models" / "one"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    generator = torch.Generator().manual_seed(5)
    ids = tokenizer("The river", return_tensors="pt").input_ids
    start = ids.shape[1]
    for _ in range(6):
        with torch.no_grad():
            shares = torch.softmax(model(ids).logits[0, -1] / 0.8, dim=-1)
        ids = torch.cat([ids, torch.multinomial(shares, 1, generator=generator)[None]], dim=1)
    expected = tokenizer.decode(ids[0, start:], skip_special_tokens=True)
    asked = {"models": named(host, "one", "two"), "prompt": "The river", "tokens": 6, "temperature": 0.8, "seed": 5}
    texts = [all_of(list(generate(host, asked)), "text") for _ in range(2)]
    assert [next(t["text"] for t in some if t["done"]) for some in texts] == [expected] * 2
    strip = all_of(list(forced(host, asked)), "strip")[0]
    assert "".join(t["text"] for t in strip["tokens"] if t["kl"] is not None) == expected
    other = all_of(list(generate(host, asked | {"seed": 6})), "text")
    assert next(t["text"] for t in other if t["done"]) != expected
    greedy = [all_of(list(generate(host, asked | {"temperature": 0, "seed": s})), "text")[-1]["text"] for s in (5, 6)]
    assert greedy[0] == greedy[1], "without a temperature the seed says nothing"


def test_other_tokens_are_refused_in_plain_words(host: Models) -> None:
    folder = host.settings.home / "models" / "two"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    data = json.loads(tokenizer.backend_tokenizer.to_str())
    words = data["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    (folder / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(RetortError, match="different tokens"):
        list(forced(host, {"models": named(host, "one", "two"), "text": "The river ran."}))
    assert all_of(list(generate(host, {"models": named(host, "one", "two"), "prompt": "A", "tokens": 2})), "text")


@pytest.mark.parametrize(
    ("names", "request_", "says"),
    [
        (("one",), {"text": "The river"}, "needs 2 to 3 different models; 1 given"),
        (("one", "two"), {"text": ""}, "no token to compare"),
        (("one", "two"), {"prompt": "  "}, "prompt is empty"),
    ],
)
def test_what_cannot_be_compared(host: Models, names: tuple[str, ...], request_: dict[str, Any], says: str) -> None:
    with pytest.raises(RetortError, match=says):
        list(forced(host, {"models": named(host, *names), **request_}))


@pytest.mark.parametrize("operation", [generate, forced, compare_set])
def test_nobody_waits(host: Models, operation: Any) -> None:
    host.stop_after = 5
    with pytest.raises(Cancelled):
        list(operation(host, {"models": named(host, "one", "two"), "prompt": "The river", "tokens": 20}))


def test_words_without_end_are_cut_before_they_are_sent(host: Models) -> None:
    models = named(host, "one", "two")
    for model in models:
        write_hostile_tokenizer(Path(model.removeprefix("path:")))
    texts = all_of(list(generate(host, {"models": models, "prompt": "The river", "tokens": 40})), "text")
    assert max(len(t["text"]) for t in texts) <= MOST_CHARACTERS
    strips = all_of(list(forced(host, {"models": models, "prompt": "The river", "tokens": 40})), "strip")
    said = [w for t in strips[0]["tokens"] for w in (t["text"], *(a[0] for a in (*t["teacher"], *t["student"])))]
    assert max(map(len, said)) <= 500 and any("A" * 400 in w for w in said)
