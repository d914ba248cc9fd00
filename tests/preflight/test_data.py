"""What is looked up before a start: all files, columns, classes and the disk, of all steps, in plain words."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertForSequenceClassification

from core.base.errors import RetortError
from core.base.settings import Settings
from core.commands.parser import main
from core.jobs import actions
from core.preflight import disk
from core.preflight.notes import beforehand
from core.recipe.files import dump_recipe
from core.recipe.recipe import Recipe

NO_COLUMN = (
    "Step 2, data: train.csv has no column 'text' (it has: body, category). It was read as CSV with a semicolon "
    "between columns."
)
NO_LABEL = "evaluation.labelled: text.txt has no column that could be the label (it has: text)."
NO_CLASS = "evaluation.labelled: path:{root}/test.csv has the class 'Buy', which the model does not know."
PLAIN = [{"loss": "cross_entropy"}]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A model that tells ham from spam."""
    folder = tmp_path_factory.mktemp("classifier") / "model"
    config = BertConfig(
        vocab_size=384,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        id2label={0: "ham", 1: "spam"},
        label2id={"ham": 0, "spam": 1},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_llama / file, folder)
    return folder


@pytest.fixture
def study(home: Settings, classifier: Path, tiny_text: str) -> dict[str, Any]:
    """A recipe of three steps with texts of its own."""
    folder = home.roots[0]
    shutil.copytree(classifier, folder / "model")
    (folder / "text.txt").write_text(tiny_text)
    (folder / "train.csv").write_text("body;category\nBuy now;spam\nHello you;ham\n")
    (folder / "test.csv").write_text("body;category\nBuy;spam\nHello;ham\n;ham\nNo label;\n")
    text = {"data": f"path:{folder}/text.txt", "split": None}
    data = {"data": f"path:{folder}/train.csv", "split": None, "form": "labels", "length": 32}
    return {
        "model": f"path:{folder}/model",
        "calibration": {**text, "length": 32, "sequences": 2},
        "evaluation": {**text, "tokens": 512, "window": 32, "labelled": {"data": f"path:{folder}/test.csv"}},
        "latency": {"prompt": 8, "new_tokens": 2, "repeats": 1},
        "steps": [
            {"step": "prune", "method": "magnitude", "sparsity": 0.5},
            {"step": "finetune", "losses": PLAIN, "budget": {"steps": 2}, "data": data},
            {"step": "evaluate"},
        ],
    }


def checked(document: dict[str, Any], home: Settings) -> None:
    actions.check_recipe(Recipe.model_validate(document), home)


def test_a_recipe_whose_data_is_there_passes(study: dict[str, Any], home: Settings) -> None:
    checked(study, home)


@pytest.mark.parametrize(
    ("place", "changed", "cause"),
    [
        (("calibration", "data"), "nowhere.txt", "Step"),
        (("evaluation", "data"), "nowhere.txt", "evaluation: '{root}/nowhere.txt' does not exist."),
        (("steps", 1, "data", "data"), "trian.csv", "Step 2, data: '{root}/trian.csv' does not exist."),
        (("steps", 1, "data", "columns"), {"text": "text"}, NO_COLUMN),
        (("steps", 1, "data", "classes"), {"spam": "junk"}, "Step 2, data: path:{root}/train.csv has the class 'junk'"),
        (("evaluation", "labelled", "data"), "text.txt", NO_LABEL),
        (("evaluation", "labelled", "columns"), {"label": "body"}, NO_CLASS),
        (("steps", 1, "student"), "nomodel", "Step 2, student: '{root}/nomodel' does not exist."),
    ],
)
def test_what_any_step_needs_is_looked_up(
    study: dict[str, Any], home: Settings, place: tuple[Any, ...], changed: Any, cause: str
) -> None:
    inner: Any = study
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = f"path:{home.roots[0]}/{changed}" if isinstance(changed, str) else changed
    if place == ("calibration", "data"):
        checked(study, home)  # magnitude needs no calibration text, so none is asked for
        return
    with pytest.raises(RetortError) as caught:
        checked(study, home)
    assert caught.value.cause.startswith(cause.format(root=home.roots[0])), caught.value.cause


def test_too_little_room_is_refused(study: dict[str, Any], home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage(1, 1, 1_000))
    with pytest.raises(RetortError, match="its disk has 1.0 kB left"):
        checked(study, home)


def test_how_much_is_written_at_most() -> None:
    def of(**document: Any) -> int:
        return disk.disk_bytes(Recipe.model_validate({"model": "sample:minilm", **document}), 10)

    prune = {"step": "prune", "method": "magnitude", "sparsity": 0.5}
    assert of(steps=[prune, {"step": "evaluate"}, {"step": "export"}]) == 30
    assert of(steps=[{"step": "finetune", "losses": PLAIN, "budget": {"steps": 1}}]) == 10 * (2 + 8)
    grid = [{"method": "magnitude", "sparsity": [0.1, 0.2]}]
    assert of(sweep={"grid": grid, "keep": "all"}) == 30 and of(sweep={"grid": grid, "keep": "none"}) == 10


def test_a_run_without_a_figure_of_quality_says_so_beforehand(study: dict[str, Any], home: Settings) -> None:
    assert beforehand(Recipe.model_validate(study), home) == []
    del study["evaluation"]["labelled"]
    assert "without its accuracy" in beforehand(Recipe.model_validate(study), home)[0]
    study["steps"] = study["steps"][:1]
    assert "No step measures quality" in beforehand(Recipe.model_validate(study), home)[0]
    study["steps"].append({"step": "evaluate"})
    assert beforehand(Recipe.model_validate(study), home)[0].startswith(
        "This model tells classes apart, and no labelled texts are named to judge it on, so the run will end without "
        "any figure of quality"
    )
    config = home.roots[0] / "model" / "config.json"
    headless = json.loads(config.read_text()) | {"architectures": ["BertModel"]}
    config.write_text(json.dumps(headless))
    assert "it neither predicts words nor tells classes apart" in beforehand(Recipe.model_validate(study), home)[0]


def test_the_command_says_what_it_found_and_runs_nothing(
    study: dict[str, Any],
    home: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RETORT_ROOTS", str(home.roots[0]))
    file = tmp_path / "recipe.yaml"
    file.write_text(dump_recipe(Recipe.model_validate(study)))
    assert main(["check", str(file), "--home", str(home.home)]) == 0
    said = capsys.readouterr().out
    assert "CSV with a semicolon between columns, text from 'body', label from 'category'" in said
    assert said.rstrip().endswith("Nothing speaks against it. Nothing was run.")
    assert not list(home.home.glob("runs/*"))
    (home.roots[0] / "test.csv").unlink()
    assert main(["check", str(file), "--json", "--home", str(home.home)]) == 2
    assert "evaluation.labelled" in json.loads(capsys.readouterr().out)["error"]["cause"]
