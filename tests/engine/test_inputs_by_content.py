"""Inputs that are overwritten at their place: no table mixes what was measured before with what came after."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.analysis.comparable import why_apart
from core.base.errors import Cancelled, RetortError
from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.contents import ABSENT, content_of, contents_of
from core.catalogue.references import resolve
from core.engine.models.load import load_model
from core.engine.pipeline import execute
from core.engine.run.prune_step import Source, needed, statistics_for
from core.recipe.recipe import Prune, Recipe
from core.recipe.results import Result, Trial
from core.registry.measurement import find_metric
from tests.engine import by_hand
from tests.engine.conftest import Memory

OTHER_TEXT = "\n\n".join(
    f"Completely different words stand in line {i} of this one, with {i * 7} apples." for i in range(200)
)


@pytest.fixture
def texts(home: Settings, tiny_text: str) -> tuple[Path, Path]:
    """A calibration text, and an evaluation text that shares nothing with it."""
    half = len(tiny_text) // 2
    calibration, evaluation = home.roots[0] / "calibration.txt", home.roots[0] / "evaluation.txt"
    calibration.write_text(" ".join(reversed(tiny_text[:half].split())))
    evaluation.write_text(tiny_text[half:])
    return calibration, evaluation


def sweep(model: Path, texts: tuple[Path, Path], **more: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "Overwritten",
            "model": f"path:{model}",
            "dtype": "float32",
            "latency": None,
            "calibration": {"data": f"path:{texts[0]}", "split": None, "sequences": 2, "length": 32},
            "evaluation": {"data": f"path:{texts[1]}", "split": None, "tokens": 512, "window": 64},
            "sweep": {"grid": [{"method": "magnitude", "sparsity": [0.3, 0.8]}], "keep": "none"},
            **more,
        }
    )


def dense_perplexity(model: Path, text: Path) -> float:
    """By plain transformers: eight windows of 64 tokens, all over the text."""
    return math.exp(by_hand.loss(by_hand.model_of(model), by_hand.windows(text, model, 512, 64)))


def perplexities(results: list[Result]) -> list[float]:
    return [m.value for r in results if (m := find_metric(r.measurements, "perplexity"))]


class Stopping(Memory):
    """Cancelled by its user when so many trials are done."""

    after = 2

    def checkpoint(self) -> None:
        if len(self.results) >= self.after:
            raise Cancelled


def test_a_text_replaced_between_cancel_and_resume(home: Settings, model: Path, texts: tuple[Path, Path]) -> None:
    hooks, recipe = Stopping(home), sweep(model, texts)
    with pytest.raises(Cancelled):
        execute(recipe, hooks)
    before = set(hooks.results)
    old = dense_perplexity(model, texts[1])
    assert len(before) == 2 and perplexities(list(hooks.results.values()))[0] == pytest.approx(old, rel=1e-4)
    texts[1].write_text(OTHER_TEXT)
    hooks.after = 99
    execute(recipe, hooks)
    table = [hooks.results[t.key] for t in hooks.trials]
    new = dense_perplexity(model, texts[1])
    assert abs(new - old) > 1 and perplexities(table)[0] == pytest.approx(new, rel=1e-4)
    assert len(table) == 3 and not before & {r.key for r in table}, "old and new figures in one table"
    assert {r.inputs[f"path:{texts[1]}"] for r in table} == {content_of(f"path:{texts[1]}", home, LOCAL)}
    said = [m for m, _ in hooks.events if "is not what it was when this run began" in m]
    assert len(said) == 1 and str(texts[1]) in said[0]


def test_a_text_replaced_between_two_runs(home: Settings, model: Path, texts: tuple[Path, Path]) -> None:
    hooks, recipe = Memory(home), sweep(model, texts)
    execute(recipe, hooks)
    first = [hooks.results[t.key] for t in hooks.trials]
    texts[1].write_text(OTHER_TEXT)
    execute(recipe, hooks)
    second = [hooks.results[t.key] for t in hooks.trials]
    assert len(first) == len(second) == 3 and not {r.key for r in first} & {r.key for r in second}
    assert why_apart(first[0], second[0], ["perplexity"]) == [
        "the text behind perplexity was another one, though it has the same name"
    ]
    started = len(hooks.started)
    execute(recipe, hooks)
    assert len(hooks.started) == started, "nothing changed, so nothing is computed again"


def test_the_same_text_elsewhere_is_the_same_text(home: Settings, model: Path, texts: tuple[Path, Path]) -> None:
    hooks = Memory(home)
    execute(sweep(model, texts), hooks)
    moved = home.roots[0] / "moved.txt"
    texts[1].rename(moved)
    execute(sweep(model, (texts[0], moved)), hooks)
    assert hooks.started == [0, 1, 2]


def test_model_bytes_that_are_overwritten_count(home: Settings, model: Path, texts: tuple[Path, Path]) -> None:
    hooks = Memory(home)
    execute(sweep(model, texts), hooks)
    keys = [t.key for t in hooks.trials]
    torch.manual_seed(5)
    plain = AutoModelForCausalLM.from_pretrained(model)
    plain.model.norm.weight.data += 0.5
    plain.save_pretrained(model)
    execute(sweep(model, texts), hooks)
    assert not set(keys) & {t.key for t in hooks.trials}
    dense = hooks.results[hooks.trials[0].key]
    assert perplexities([dense])[0] == pytest.approx(dense_perplexity(model, texts[1]), rel=1e-4)


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "config.json", "model.safetensors"])
def test_every_file_of_a_model_makes_its_fingerprint(file: str, home: Settings, model: Path) -> None:
    def fingerprint() -> str:
        return resolve(f"path:{model}", home, LOCAL).fingerprint

    before = fingerprint()
    raw = bytearray((model / file).read_bytes())
    raw[-2:-2] = b" "
    (model / file).write_bytes(bytes(raw))
    assert fingerprint() != before
    note = model / "retort-files.json"
    after = fingerprint()
    note.write_text("{}")
    assert fingerprint() == after, "Retort's own notes are no part of the model"


def test_a_candidate_is_identified_by_its_files(home: Settings, model: Path) -> None:
    candidate = home.home / "candidates" / "k1"
    candidate.mkdir(parents=True)
    before = resolve(f"path:{model}", home, LOCAL).fingerprint
    model.rename(candidate / "model")
    (candidate / "result.json").write_text('{"model": "sample:x"}')
    assert resolve("run:k1", home, LOCAL).fingerprint == before


def test_a_teacher_that_is_overwritten_counts(
    home: Settings, model: Path, texts: tuple[Path, Path], tiny_llama: Path
) -> None:
    import shutil

    teacher = Path(shutil.copytree(tiny_llama, home.roots[0] / "teacher"))
    lesson = {
        "step": "distil",
        "teacher": f"path:{teacher}",
        "budget": {"steps": 1},
        "batch": 2,
        "held_out": 2,
        "data": {"data": f"path:{texts[0]}", "split": None, "length": 32},
    }
    recipe = sweep(model, texts, sweep=None, steps=[lesson, {"step": "evaluate"}])
    hooks = Memory(home)
    execute(recipe, hooks)
    before = [t.key for t in hooks.trials]
    plain = AutoModelForCausalLM.from_pretrained(teacher)
    plain.model.norm.weight.data += 0.5
    plain.save_pretrained(teacher)
    execute(recipe, hooks)
    after = [t.key for t in hooks.trials]
    assert before[0] == after[0] and before[1] != after[1] and hooks.started == [0, 1, 1]


def test_statistics_are_kept_by_model_tokens_and_dtype(home: Settings, model: Path) -> None:
    prune, folders = Prune(method="wanda", sparsity=0.5), set()
    one, two = torch.arange(64).view(2, 32), torch.arange(1, 65).view(2, 32)
    for dtype, fingerprint, windows in (
        ("float32", "a", one),
        ("bfloat16", "a", one),
        ("float32", "b", one),
        ("float32", "a", two),
        ("float32", "a", one.view(4, 16)),
    ):
        source = Source(load_model(model, dtype), fingerprint, windows)
        found = statistics_for(source, needed([prune]), home, InMemoryReporter())
        assert found is not None
        folders.add(found.folder)
    assert len(folders) == 5
    again = statistics_for(Source(load_model(model, "float32"), "a", one), needed([prune]), home, InMemoryReporter())
    assert again is not None and again.folder in folders


def test_what_identifies_texts_and_sets(home: Settings, texts: tuple[Path, Path]) -> None:
    first = content_of(f"path:{texts[0]}", home, LOCAL)
    assert first != content_of(f"path:{texts[1]}", home, LOCAL)
    twin = texts[0].with_suffix(".md")
    twin.write_bytes(texts[0].read_bytes())
    assert content_of(f"path:{twin}", home, LOCAL) != first, "another ending is read in another way"
    assert content_of("sample:wiki", home, LOCAL) == ABSENT and content_of("sample:nothing", home, LOCAL) == ABSENT
    with pytest.raises(RetortError, match="outside the folders"):
        content_of("path:/etc/passwd", home, LOCAL)


def test_parts_and_files_of_a_sample_count(home: Settings) -> None:
    from core.registry.samples import SAMPLES

    folder = SAMPLES["reuters-r8"].folder(home)
    folder.mkdir(parents=True)
    files = {"train.tab": b"a\n", "test.tab": b"b\n"}
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    facts = {n: {"bytes": len(raw), "sha256": ""} for n, raw in files.items()}
    (folder / "retort-sample.json").write_text(json.dumps({"pin": SAMPLES["reuters-r8"].pin, "files": facts}))
    train, test = (content_of(f"sample:reuters-r8/{part}", home, LOCAL) for part in ("train", "test"))
    assert ABSENT not in (train, test) and train != test
    (folder / "test.tab").write_bytes(b"c\n")
    assert content_of("sample:reuters-r8/test", home, LOCAL) != test, "the same size, other bytes"


def test_every_reference_of_a_recipe_is_found(home: Settings, model: Path, texts: tuple[Path, Path]) -> None:
    labels, training = home.roots[0] / "labels.csv", home.roots[0] / "training.jsonl"
    labels.write_text("text,label\na,x\nb,y\n")
    training.write_text('{"text": "a"}\n')
    lesson = {
        "step": "distil",
        "teacher": f"path:{model}",
        "budget": {"steps": 1},
        "data": {"data": f"path:{training}", "split": None},
    }
    options = [{"method": "block_influence", "target": {"remove_layers": n}} for n in (1, 2)]
    recipe = sweep(
        model,
        texts,
        sweep=None,
        steps=[{"step": "select", "options": options, "recovery": lesson}],
        evaluation={"data": f"path:{texts[1]}", "tasks": ["piqa"], "labelled": {"data": f"path:{labels}"}},
    )
    found = contents_of(recipe, home, LOCAL)
    assert set(found) == {f"path:{p}" for p in (*texts, labels, training, model)} | {"task:piqa"}
    assert found["task:piqa"] == ABSENT and found[f"path:{model}"] == resolve(f"path:{model}", home, LOCAL).fingerprint


def test_trials_keep_their_place(home: Settings, model: Path, texts: tuple[Path, Path]) -> None:
    """The order of a grid is the order of its table, whatever the keys are."""
    hooks = Memory(home)
    execute(sweep(model, texts, sweep={"grid": [{"method": "magnitude", "sparsity": [0.8, 0.3]}]}), hooks)
    labels: list[Trial] = hooks.trials
    assert [t.label for t in labels] == ["Dense baseline", "Magnitude 80 %", "Magnitude 30 %"]
