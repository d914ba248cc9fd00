"""What each kind of model is judged by, and how accuracies are paired with the baseline's."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from core.analysis.differences import difference
from core.base.errors import Impossible, RetortError
from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.manifests import MANIFEST
from core.catalogue.samples import is_fetched
from core.engine.data.inputs import Inputs
from core.engine.models.load import load_model
from core.engine.run.quality import judge, with_pairs
from core.recipe.recipe import Evaluation
from core.recipe.results import Result
from core.registry.measurement import Measurement
from core.registry.metrics import METRICS, metric
from core.registry.samples import SAMPLES
from core.registry.tasks import TASK_SETS

RIGHT = [1.0] * 14 + [0.0] * 3 + [1.0] * 20 + [0.0] * 5
OTHER = [0.0] * 14 + [1.0] * 3 + [1.0] * 20 + [0.0] * 5  # 14 lost, 3 won


def accuracy(samples: list[float]) -> Measurement:
    return Measurement(metric="accuracy:piqa", value=sum(samples) / len(samples), unit="", samples=samples)


def test_every_task_has_its_metrics() -> None:
    for task in TASK_SETS.values():
        assert METRICS[f"accuracy:{task.id}"].label == f"{task.label} accuracy"
        assert METRICS[f"accuracy_norm:{task.id}"].better == "higher"
    assert metric("accuracy:mmlu_law").label == "mmlu_law accuracy" and metric("accuracy:mmlu_law").role == "quality"


def test_an_accuracy_is_paired_with_the_baseline_item_by_item() -> None:
    paired = with_pairs(accuracy(OTHER), [accuracy(RIGHT)])
    by_hand = 2 * sum(math.comb(17, k) for k in range(4)) / 2**17
    assert paired.settings["paired"] == {
        "test": "McNemar, exact, two-sided",
        "p": pytest.approx(by_hand),
        "only_baseline_right": 14,
        "only_candidate_right": 3,
    }
    candidate, dense = (
        Result(key=k, label=k, model="sample:x", method="wanda", measurements=[m])
        for k, m in (("a", paired), ("b", accuracy(RIGHT)))
    )
    found = difference(candidate, dense, "accuracy:piqa")
    assert found is not None and found.better is False and found.evidence == "McNemar p = 0.013: 14 items lost, 3 won"


def test_other_items_or_no_baseline_are_not_paired() -> None:
    assert "paired" not in with_pairs(accuracy(OTHER), [accuracy(RIGHT[:-1])]).settings
    assert "paired" not in with_pairs(accuracy(OTHER), []).settings


def test_a_candidate_stands_in_for_a_baseline_that_lacks_the_metric() -> None:
    stood_in = with_pairs(accuracy(OTHER), [], ("Fine-tuned", accuracy(RIGHT)))
    usual = with_pairs(accuracy(OTHER), [accuracy(RIGHT)], ("Fine-tuned", accuracy(OTHER))).settings["paired"]
    assert stood_in.settings["paired"] == {**usual, "against": "Fine-tuned", "against_value": accuracy(RIGHT).value}
    candidate = Result(key="a", label="a", model="sample:x", method="wanda", measurements=[stood_in])
    headless = Result(key="b", label="b", model="sample:x", method="", measurements=[])
    found = difference(candidate, headless, "accuracy:piqa")
    assert found is not None and found.better is False
    assert found.evidence == "McNemar p = 0.013 against 'Fine-tuned': 14 items lost, 3 won"


def test_settings_of_tasks_leave_keys_alone_where_there_are_none() -> None:
    plain = Evaluation().identity()
    assert Evaluation(items=7).identity() == plain and "labelled" not in plain
    assert Evaluation(tasks=("piqa",), items=7).identity() != Evaluation(tasks=("piqa",)).identity()


def test_an_unknown_task_is_named_unless_the_harness_is_to_know_it() -> None:
    with pytest.raises(ValueError, match="unknown task 'mmlu_law'"):
        Evaluation(tasks=("mmlu_law",))
    assert Evaluation(tasks=("mmlu_law",), scorer="lm-eval").tasks == ("mmlu_law",)


@pytest.fixture
def with_copa(home: Settings) -> Settings:
    """A home whose evaluation sets hold eight COPA items."""
    rows = [
        {
            "premise": f"The man {v} the stone.",
            "choice1": "It was heavy.",
            "choice2": "The river ran slowly.",
            "question": ("cause", "effect")[i % 2],
            "label": i % 2,
            "idx": i,
        }
        for i, v in enumerate(("took", "threw", "saw", "lost", "left", "kept", "sold", "broke"))
    ]
    sample = SAMPLES["tasks"]
    folder = sample.folder(home)
    Dataset.from_list(rows).save_to_disk(str(folder / TASK_SETS["copa"].folder / "validation"))
    (folder / MANIFEST).write_text(json.dumps({"pin": sample.pin}), "utf-8")
    assert is_fetched(sample, home)
    return home


def judged(model: Path, home: Settings, **wanted: Any) -> dict[str, Measurement]:
    loaded = load_model(model, "float32")
    inputs = Inputs(None, torch.randint(0, 300, (4, 16), generator=torch.Generator().manual_seed(0)), {})
    found, notes = judge(loaded, Evaluation(**wanted), inputs, [], home, LOCAL, InMemoryReporter())
    assert notes == []
    return {m.metric: m for m in found}


def test_a_language_model_answers_the_tasks_of_its_recipe(tiny_llama: Path, with_copa: Settings) -> None:
    found = judged(tiny_llama, with_copa, tasks=["copa"], items=6)
    assert {"perplexity", "loss", "accuracy:copa", "accuracy_norm:copa"} == set(found)
    assert len(found["accuracy:copa"].samples or []) == 6


def test_questions_of_ones_own_are_answered_and_paired(tiny_llama: Path, home: Settings) -> None:
    """A file with options and one without: a record for each item, by which candidates are paired."""
    rows = [{"question": f"Is {n} even?", "choices": ["no", "yes"], "answer": 1 - n % 2} for n in range(6)]
    (home.roots[0] / "even.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (home.roots[0] / "capital.csv").write_text("question,answer\nFrance?,Paris\nItaly?,Rome\nSpain?,Madrid\n")
    own = [{"name": n.partition(".")[0], "data": f"path:{home.roots[0]}/{n}"} for n in ("even.jsonl", "capital.csv")]
    own[1] |= {"shots": 1, "match": "contains", "new_tokens": 4}
    wanted = Evaluation.model_validate({"own_tasks": own, "items": 5})
    inputs = Inputs(None, torch.randint(0, 300, (4, 16), generator=torch.Generator().manual_seed(0)), {})
    found, notes = judge(load_model(tiny_llama, "float32"), wanted, inputs, [], home, LOCAL, InMemoryReporter())
    measured = {m.metric: m for m in found}
    assert {"accuracy:even", "accuracy_norm:even", "accuracy:capital"} < set(measured)
    assert len(measured["accuracy:even"].samples or []) == 5 and measured["accuracy:capital"].samples == [0.0, 0.0]
    assert any(n.startswith("even: The right option was read as its place counted from 0") for n in notes)
    paired = with_pairs(measured["accuracy:capital"], [measured["accuracy:capital"]])
    assert paired.settings["paired"]["p"] == 1.0


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="lm-evaluation-harness is not installed")
def test_the_harness_agrees_item_by_item(tiny_llama: Path, with_copa: Settings) -> None:
    mine = judged(tiny_llama, with_copa, tasks=["copa"])["accuracy:copa"]
    theirs = judged(tiny_llama, with_copa, tasks=["copa"], scorer="lm-eval")["accuracy:copa"]
    assert theirs.samples == mine.samples and len(mine.samples or []) == 8
    assert theirs.settings["scorer"].startswith("lm-eval")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="lm-evaluation-harness is not installed")
@pytest.mark.parametrize("scorer", ["retort", "lm-eval"])
def test_an_option_longer_than_the_context_is_refused_by_both_scorers(
    tiny_llama: Path, with_copa: Settings, scorer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = load_model(tiny_llama, "float32")
    short.model.config.max_position_embeddings = 3
    monkeypatch.setattr("tests.engine.evaluate.test_quality.load_model", lambda *_: short)
    with pytest.raises(Impossible, match=r"An answer to choose from is longer than the model's context \(3 tokens"):
        judged(tiny_llama, with_copa, tasks=["copa"], scorer=scorer)


def test_missing_sets_are_a_sentence(tiny_llama: Path, home: Settings) -> None:
    with pytest.raises(RetortError, match="not on this machine"):
        judged(tiny_llama, home, tasks=["copa"])
