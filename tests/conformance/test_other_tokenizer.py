"""Distillation between two tokenizers, against the definitions in numpy and plain transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.engine.distil import outputs
from core.engine.distil.alignment import common_ends, ends, same_tokens
from core.engine.distil.batches import Batch, Windows
from core.engine.distil.divergences import universal_logits
from core.engine.distil.loss_terms import loss_terms
from core.engine.distil.objective import Normalisers, Objective
from core.engine.distil.outputs import Outputs
from core.engine.distil.packing import packed
from core.engine.distil.reading import Reader
from core.engine.distil.spans import binary_kl
from core.engine.distil.teacher import ReadingTeacher
from core.engine.models.load import Loaded, load_model
from core.recipe.distil import Term
from tests.other_tokenizer import save_teacher

MIX = [
    Term(loss="universal_logits"),
    Term(loss="span_likelihood", weight=0.5),
    Term(loss="span_likelihood", parameters={"softening": 3.0}),
    Term(loss="cross_entropy", weight=0.25),
]


def test_sorted_probabilities_by_hand() -> None:
    """0.7 0.2 0.1 beside 0.4 0.3 0.2 0.1: 0.3 + 0.1 + 0.1 + 0.1, in whatever order they stand."""
    student, teacher = torch.tensor([[0.1, 0.7, 0.2]]).log(), torch.tensor([[0.3, 0.1, 0.2, 0.4]]).log()
    assert universal_logits(student, teacher).tolist() == pytest.approx([0.6])
    assert universal_logits(teacher, student).tolist() == pytest.approx([0.6])
    assert universal_logits(student, student.flip(1)).tolist() == pytest.approx([0.0], abs=1e-7)


@pytest.mark.parametrize("softening", [1.0, 3.0, 100.0])
def test_the_likelihood_of_spans_by_hand(softening: float) -> None:
    own, theirs = np.array([-0.5, -3.0, -7.0, -2.0]), np.array([-1.5, -0.25, -9.0, -2.0])
    p, q = np.exp(own / softening), np.exp(theirs / softening)
    expected = softening * (q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p)))
    found = binary_kl(torch.tensor(own), torch.tensor(theirs), softening)
    assert found.numpy() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert float(binary_kl(torch.zeros(1), torch.zeros(1), softening)) == 0.0


def test_tokens_meet_where_both_end_and_never_inside_a_character() -> None:
    """'a\\u00e9 bc': bytes for the accented letter on one side, letter and space as one token on the other."""
    in_bytes = [(0, 1), (1, 2), (1, 2), (2, 3), (3, 5)]
    assert ends(in_bytes) == {1: 0, 2: 2, 3: 3, 5: 4}
    assert common_ends(in_bytes, [(0, 1), (1, 3), (3, 4), (4, 5)]) == [(0, 0), (3, 1), (4, 3)]
    assert same_tokens([9, 5, 6, 7], [1, 2, 5, 6, 7]) == [(1, 2), (2, 3), (3, 4)]


@pytest.fixture(scope="module")
def pair(tiny_llama: Path, tiny_text: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Loaded, Loaded]:
    folder = save_teacher(tmp_path_factory.mktemp("other") / "teacher", tiny_text)
    return load_model(tiny_llama, "float32"), load_model(folder, "float32")


def read_so_far(tokenizer: Any, ids: list[int]) -> list[str]:
    return [tokenizer.decode(ids[: n + 1]) for n in range(len(ids))]


def by_hand(student: Loaded, teacher: Loaded, ids: Tensor) -> dict[str, Tensor]:
    """The definitions on full logits, with the texts compared as plain decoding writes them; gradients flow."""
    sums: dict[str, list[Tensor]] = {name: [] for name in ("universal_logits", "100", "3", "cross_entropy")}
    for row in ids:
        text = student.tokenizer.decode(row)
        theirs = teacher.tokenizer(text)["input_ids"]
        p = student.model(input_ids=row[None]).logits[0].double().softmax(-1)
        with torch.no_grad():
            q = teacher.model(input_ids=torch.tensor([theirs])).logits[0].double().softmax(-1)
        so_far = {said: n for n, said in enumerate(read_so_far(teacher.tokenizer, theirs[1:]), 1)}
        met = [
            (n, so_far[said]) for n, said in enumerate(read_so_far(student.tokenizer, row.tolist())) if said in so_far
        ]
        sums["cross_entropy"].append(-p[:-1].gather(1, row[1:, None]).log())
        for (i, j), (k, m) in zip(met, met[1:], strict=False):
            a, b = p[i].sort(descending=True).values, q[j].sort(descending=True).values
            a = torch.cat([a, torch.zeros(len(b) - len(a))])
            sums["universal_logits"].append((a - b).abs().sum()[None, None])
            own = torch.stack([p[n, row[n + 1]].log() for n in range(i, k)]).sum()
            other = torch.stack([q[n, theirs[n + 1]].log() for n in range(j, m)]).sum()
            for softening in (100.0, 3.0):
                x, y = (own / softening).exp(), (other / softening).exp()
                each = softening * (y * (y / x).log() + (1 - y) * ((1 - y) / (1 - x)).log())
                sums[f"{softening:g}"].append(each[None, None])
    return {name: torch.cat(parts).mean() for name, parts in sums.items()}


@pytest.fixture(scope="module")
def batch(pair: tuple[Loaded, Loaded], tiny_text: str) -> Batch:
    tokenizer = pair[0].tokenizer
    whole = Windows(packed(["  " + tiny_text.replace("the", "th\u00e9 \u706b")], tokenizer, 24)).take([0, 5, 9], 0)
    return Reader(*pair).read(whole)


def test_values_and_gradient_are_those_of_the_definition(
    pair: tuple[Loaded, Loaded], tiny_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With chunks of 5 rows and blocks of 3, so that spans lie across them."""
    student, teacher = pair
    monkeypatch.setattr(outputs, "_CHUNK_BYTES", 5 * 4 * 384)
    monkeypatch.setattr(outputs, "_BLOCK_BYTES", 3 * 4 * 384)
    windows = Windows(packed([tiny_text], student.tokenizer, 24))
    starts_a_word = [n for n in range(60) if student.tokenizer.decode(windows.ids[n, :1]).startswith(" ")][:3]
    read = Reader(student, teacher).read(windows.take(starts_a_word, 0))
    expected = by_hand(student, teacher, read.ids)
    mix = expected["universal_logits"] + 0.5 * expected["100"] + expected["3"] + 0.25 * expected["cross_entropy"]
    wanted = torch.autograd.grad(mix, list(student.model.parameters()))

    objective = Objective(
        Outputs(student.model, "causal"), ReadingTeacher(Outputs(teacher.model, "causal")), loss_terms(MIX)
    )
    student.model.zero_grad()
    totals = Normalisers.of([read])
    halves = [objective.backward(part, totals) for part in read.split(2)]
    found = {name: float(sum(h[name] for h in halves)) for name in halves[0]}
    names = ("universal_logits", "span_likelihood", "span_likelihood 2", "cross_entropy")
    assert found == pytest.approx(
        dict(zip(names, (float(v.detach()) for v in expected.values()), strict=True)), rel=2e-5
    )
    for parameter, gradient in zip(student.model.parameters(), wanted, strict=True):
        assert torch.allclose(parameter.grad, gradient.float(), rtol=1e-3, atol=1e-5)
    value = objective.value(read, totals)
    assert {n: float(v) for n, v in value.items()} == pytest.approx(found, rel=1e-5)


def test_what_is_compared_stands_behind_the_same_text(pair: tuple[Loaded, Loaded], batch: Batch) -> None:
    """Letters of two and three bytes, and windows that begin and end inside of words."""
    student, teacher = pair
    reading = batch.reading
    assert reading is not None and bool((batch.scored == (reading.places >= 0)).all())
    assert int(batch.scored.sum()) > 20
    for n in range(3):
        for row in batch.scored[n].nonzero()[:, 0].tolist():
            own = student.tokenizer.decode(batch.ids[n, : row + 1])
            theirs = teacher.tokenizer.decode(reading.ids[n, 1 : int(reading.places[n, row]) + 1])
            assert own.strip("\ufffd").strip() == theirs.strip("\ufffd").strip() and not theirs.endswith("\ufffd")
