"""Labelled texts: classes keep their order, and odd data are refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.manifests import MANIFEST
from core.engine.data.classification import LabelledTexts, load_labelled
from core.recipe.parts import LabelledSource
from core.registry.samples import SAMPLES


def labelled(data: str, home: Settings, names: list[str] | None = None) -> LabelledTexts:
    return load_labelled(LabelledSource(data), home, LOCAL, names)


@pytest.fixture
def table(home: Settings) -> Path:
    """Reuters' folder as a fetch leaves it, with three lines of our own."""
    one = SAMPLES["reuters-r8"]
    folder = one.folder(home)
    folder.mkdir(parents=True)
    (folder / "train.tab").write_text("Category\tText\nd\tstring\nclass\t\nearn\tnet up \nacq\tbuys\tall\nearn\tloss\n")
    (folder / MANIFEST).write_text(json.dumps({"pin": one.pin, "files": {}}))
    return folder


def test_table_lines_become_texts_and_sorted_classes(table: Path, home: Settings) -> None:
    found = labelled("sample:reuters-r8/train", home)
    assert found.texts == ["net up", "buys\tall", "loss"]
    assert found.names == ["acq", "earn"] and found.labels == [1, 0, 1]


def test_the_models_order_of_classes_wins(table: Path, home: Settings) -> None:
    found = labelled("sample:reuters-r8/train", home, names=["trade", "earn", "acq"])
    assert found.labels == [1, 2, 1] and found.names == ["trade", "earn", "acq"]
    with pytest.raises(RetortError, match="the class 'acq', which the model does not know"):
        labelled("sample:reuters-r8/train", home, names=["trade", "earn"])


def test_files_of_your_own(home: Settings) -> None:
    folder = home.roots[0]
    (folder / "a.csv").write_text('text,category\n"a, b",10\nc,9\n')
    (folder / "a.tsv").write_text("Sentence\tLabel\na, b\t10\nc\t9\n")
    (folder / "a.jsonl").write_text('{"text": "a, b", "label": 10}\n{"text": "c", "label": 9}\n')
    for name in ("a.csv", "a.tsv", "a.jsonl"):
        found = labelled(f"path:{folder / name}", home)
        assert (found.texts, found.labels, found.names) == (["a, b", "c"], [1, 0], ["9", "10"]), name


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("a.csv", "text,other\na,b\n", "no column that could be the label"),
        ("a.csv", "text,label\n", "no row with both"),
        ("a.csv", "text,label\na,x\nb,x\n", "fewer than two classes"),
        ("a.jsonl", "[1]\n", "cannot be read"),
        ("a.jsonl", "{\n", "cannot be read"),
        ("a.txt", "x", "no column that could be the label"),
    ],
)
def test_bad_files_are_one_sentence(home: Settings, name: str, content: str, cause: str) -> None:
    (home.roots[0] / name).write_text(content)
    with pytest.raises(RetortError, match=cause):
        labelled(f"path:{home.roots[0] / name}", home)


@pytest.mark.parametrize("data", ["sample:wiki/train", "sample:nope", "wiki", "sample:20newsgroups/train"])
def test_bad_references_are_one_sentence(home: Settings, data: str) -> None:
    with pytest.raises(RetortError):
        labelled(data, home)


@pytest.mark.sample
def test_sst2_comes_with_the_evaluation_sets(sample_home: Settings) -> None:
    found = labelled("sample:tasks/sst2", sample_home)
    assert len(found.texts) == 872 and found.names == ["negative", "positive"] and sum(found.labels) == 444
