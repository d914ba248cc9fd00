"""A trimmed vocabulary as a step among others: the same text, one unit, and a teacher that knows more tokens."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.base.errors import Impossible
from core.recipe.results import Result
from core.registry.measurement import Measurement, find_metric
from tests.engine.conftest import Memory, Study

ON_LOGITS = {
    "step": "distil",
    "losses": [{"loss": "logit_kl"}],
    "batch": 2,
    "budget": {"steps": 2},
    "held_out": 2,
}


def texts(study: Study, path: Path) -> list[dict[str, object]]:
    return [{"data": f"path:{path}", "split": None}]


def evenly(ids: list[int]) -> torch.Tensor:
    """16 windows of 64 tokens, the middle one of each equal share of the text."""
    slots = len(ids) // 64
    rows = torch.tensor(ids[: slots * 64]).view(slots, 64)
    return torch.stack([rows[int((i + 0.5) * slots / 16)] for i in range(16)])


def figure(result: Result, metric: str) -> Measurement:
    found = find_metric(result.measurements, metric)
    assert found is not None, metric
    return found


def in_order(memory: Memory) -> list[Result]:
    return [memory.results[t.key] for t in memory.trials]


def test_it_combines_with_every_other_step_and_is_judged_on_the_same_text(study: Study) -> None:
    """Trimmed to the evaluation text, which is then cut as before: the loss follows from the dense model's logits."""
    learns = {**ON_LOGITS, "data": {**texts(study, study.calibration)[0], "length": 32}}
    memory = study.run(
        "home",
        steps=[
            {"step": "trim", "texts": texts(study, study.evaluation)},
            {"step": "evaluate"},
            {"step": "measure"},
            {"step": "prune", "method": "wanda", "sparsity": 0.5},
            {"step": "prune", "method": "width_activations", "target": {"block_fraction": 0.2}},
            {**learns, "cache": {"k": 16}},
            {"step": "evaluate"},
            {**learns, "teacher": "step:1", "lora": {"rank": 2}, "keep_zeros": False},
            {"step": "export"},
        ],
    )
    dense, trimmed, wanda, narrow, taught, again = in_order(memory)
    assert (trimmed.method, trimmed.facts["characters_as_before"], trimmed.facts["tokens_longer"]) == ("trim", 1.0, 0.0)

    model, tokenizer = AutoModelForCausalLM.from_pretrained(study.model), AutoTokenizer.from_pretrained(study.model)
    folder = memory.candidate_folder(trimmed.key) / "model"
    kept = AutoTokenizer.from_pretrained(folder).get_vocab()
    columns = sorted(i for t, i in tokenizer.get_vocab().items() if t in kept)
    assert len(columns) == trimmed.facts["vocabulary"] == trimmed.facts["tokens"] < 384
    windows = evenly(tokenizer(study.evaluation.read_text())["input_ids"])
    with torch.no_grad():
        logits = model(windows).logits[:, :-1].double()
    asked = windows[:, 1:, None]
    whole = -logits.log_softmax(-1).gather(2, asked).mean()
    fewer = (logits[..., columns].logsumexp(-1) - logits.gather(2, asked)[..., 0]).mean()
    assert figure(dense, "loss").value == pytest.approx(float(whole), rel=1e-5)
    assert figure(trimmed, "loss").value == pytest.approx(float(fewer), rel=1e-5)
    assert figure(trimmed, "loss_change").value == pytest.approx(float(fewer - whole), abs=1e-5)
    read = [tokenizer.decode(w[1:]) for w in windows]
    total = sum(len(t.encode()) for t in read)
    for result, loss in ((dense, whole), (trimmed, fewer)):
        bits = float(loss) * 16 * 63 / math.log(2) / total
        assert figure(result, "bits_per_byte").value == pytest.approx(bits, rel=1e-5)
    assert find_metric(trimmed.measurements, "kl_to_teacher") is None
    assert any("another unit" in note for note in trimmed.notes)
    gone = (384 - len(columns)) * 32
    assert figure(dense, "parameters").value - figure(trimmed, "parameters").value == gone

    assert wanda.facts["vocabulary"] == narrow.facts["vocabulary"] == taught.facts["vocabulary"] == len(columns)
    assert narrow.facts["intermediate"] < dense.facts["intermediate"]
    assert taught.facts["steps"] == again.facts["steps"] == 2
    assert math.isfinite(figure(taught, "loss").value) and math.isfinite(figure(taught, "bits_per_byte").value)


def test_texts_with_other_words_take_more_tokens_and_are_still_judged(study: Study) -> None:
    rare = study.folder / "rare.txt"
    rare.write_text("\n\n".join("The river ran." for _ in range(4)))
    memory = study.run("home", steps=[{"step": "trim", "texts": texts(study, rare)}, {"step": "evaluate"}])
    _, trimmed = in_order(memory)
    loss = figure(trimmed, "loss")
    folder = memory.candidate_folder(trimmed.key) / "model"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    before = AutoTokenizer.from_pretrained(study.model)
    sums = []
    for window in evenly(before(study.evaluation.read_text())["input_ids"]):
        given = tokenizer(before.decode(window[:1]), add_special_tokens=False)["input_ids"]
        whole = tokenizer(before.decode(window), add_special_tokens=False)["input_ids"]
        assert whole[: len(given)] == given
        with torch.no_grad():
            logits = model(torch.tensor([whole])).logits[0, len(given) - 1 : -1].double()
        sums.append(float(-logits.log_softmax(-1).gather(1, torch.tensor(whole[len(given) :])[:, None]).sum()))
    assert loss.settings["own_tokens"] > 16 * 63 == loss.settings["predicted_tokens"]
    assert loss.value == pytest.approx(sum(sums) / (16 * 63), rel=1e-5)
    assert trimmed.facts["characters_as_before"] < 1.0 < 1.0 + trimmed.facts["tokens_longer"]


def test_a_tokenizer_of_another_kind_is_refused_before_any_work(study: Study) -> None:
    path = study.model / "tokenizer.json"
    definition = json.loads(path.read_text())
    definition["model"]["type"] = "WordLevel"
    path.write_text(json.dumps(definition))
    with pytest.raises(Impossible, match="of the kind WordLevel, and only BPE, WordPiece, Unigram are known"):
        study.run("home", steps=[{"step": "trim", "texts": texts(study, study.evaluation)}])
