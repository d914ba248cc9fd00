"""The token-by-token comparison against float64 computations written from the definitions, one prefix at a time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.engine.live.forced import Compared, compare_tokens, summary
from core.engine.live.generate import next_tokens
from core.engine.models import chunked_head as logits_module
from core.engine.models.load import Loaded, load_model

TEXT = "The river ran slowly past the old mill, and 1834 children threw \u00e9t\u00e9 stones."


def noisy(folder: Path, seed: int) -> Loaded:
    """The tiny model with weights far from uniform predictions."""
    loaded = load_model(folder, "float32")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return loaded


def next_distribution(loaded: Loaded, prefix: list[int]) -> np.ndarray:
    """(vocabulary,) float64 probabilities of the token after a prefix: softmax of the model's own last logits."""
    with torch.no_grad():
        logits = loaded.model(input_ids=torch.tensor([prefix]), use_cache=False).logits[0, -1].double().numpy()
    shares = np.exp(logits - logits.max())
    result: np.ndarray = shares / shares.sum()
    return result


@pytest.fixture
def pair(tiny_llama: Path) -> tuple[Loaded, Loaded]:
    return noisy(tiny_llama, 1), noisy(tiny_llama, 2)


@pytest.mark.parametrize(("first", "chunk_rows"), [(1, 10_000), (4, 3)])
def test_every_token_against_the_definition(
    pair: tuple[Loaded, Loaded], monkeypatch: pytest.MonkeyPatch, first: int, chunk_rows: int
) -> None:
    teacher, student = pair
    monkeypatch.setattr(logits_module, "_CHUNK_BYTES", 4 * 384 * chunk_rows)
    ids: list[int] = teacher.tokenizer(TEXT).input_ids
    found = compare_tokens(teacher, student, torch.tensor([ids]), first, lambda: None)
    assert len(found) == len(ids) and all(t.kl is None and not t.teacher for t in found[:first])
    splits = 0
    for place in range(first, len(ids)):
        p, q = next_distribution(teacher, ids[:place]), next_distribution(student, ids[:place])
        token = found[place]
        assert token.kl == pytest.approx(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)), abs=1e-4)
        assert token.differs == (int(p.argmax()) != int(q.argmax()))
        splits += token.differs
        for shares, shown in ((p, token.teacher), (q, token.student)):
            order = sorted(range(len(shares)), key=lambda i: -shares[i])[:5]
            assert [s for _, s in shown] == pytest.approx([shares[i] for i in order], abs=1e-5)
            assert [t for t, _ in shown] == [teacher.tokenizer.decode([i]) for i in order]
    told = summary(found)
    assert splits and told["agreement"] == pytest.approx(100 * (1 - splits / (len(ids) - first)))
    assert told["mean"] == pytest.approx(np.mean([t.kl for t in found[first:]]))
    assert found[told["first_split"]].differs and not any(t.differs for t in found[: told["first_split"]])


def test_a_model_beside_itself_never_differs(pair: tuple[Loaded, Loaded]) -> None:
    ids = torch.tensor([pair[0].tokenizer(TEXT).input_ids])
    told = summary(compare_tokens(pair[0], pair[0], ids, 1, lambda: None))
    assert (told["mean"], told["agreement"], told["first_split"]) == (0.0, 100.0, None)


def test_rows_that_no_text_uses_are_left_out(pair: tuple[Loaded, Loaded]) -> None:
    teacher, student = pair
    ids = torch.tensor([teacher.tokenizer(TEXT).input_ids])
    expected = compare_tokens(teacher, student, ids, 1, lambda: None)
    student.model.resize_token_embeddings(400, mean_resizing=False)
    with torch.no_grad():
        student.model.get_input_embeddings().weight[384:] = 3.0
    found = compare_tokens(teacher, student, ids, 1, lambda: None)
    assert [t.kl for t in found[1:]] == pytest.approx([t.kl for t in expected[1:]], abs=1e-5)
    assert [[text for text, _ in t.student] for t in found] == [[text for text, _ in t.student] for t in expected]


def test_one_text_has_no_interval() -> None:
    told = summary([Compared("a"), Compared("b", 0.5, True)])
    assert told == {"mean": 0.5, "agreement": 0.0, "compared": 1, "first_split": 1}


@pytest.mark.parametrize("name", ["greedy", "drawn"])
def test_written_tokens_follow_the_definition_without_a_cache(pair: tuple[Loaded, Loaded], name: str) -> None:
    loaded: Any = pair[0]
    ids: list[int] = loaded.tokenizer("The river").input_ids
    loaded.model.generation_config.eos_token_id = None
    temperature = 0.0 if name == "greedy" else 0.7
    written = [t for t, _ in next_tokens(loaded.model, torch.tensor([ids]), 12, temperature, seed=5)]
    generator = torch.Generator().manual_seed(5)
    expected: list[int] = []
    for _ in range(12):
        p = next_distribution(loaded, ids + expected)
        tempered = p ** (1 / temperature) if temperature else p
        draw = torch.tensor(tempered / tempered.sum(), dtype=torch.float32)
        expected.append(int(torch.multinomial(draw, 1, generator=generator)) if temperature else int(p.argmax()))
    assert written == expected and len(set(written)) > 1
