"""Which class a label means: exact, by case, by number, by the recipe, or refused with both lists."""

from __future__ import annotations

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.classifiers import unjudged
from core.data.classes import classes_of
from core.data.labelled import plain_label
from core.engine.data.classification import load_labelled
from core.recipe.parts import LabelledSource

NAMED = ["negative", "positive"]


def indices(labels: list[str], names: list[str] | None, **given: str) -> list[int]:
    found = classes_of(labels, names, given, None, "the data")
    return [found.index[label] for label in labels]


def test_names_numbers_and_cases() -> None:
    assert indices(["positive", "negative"], NAMED) == [1, 0]
    assert indices(["Positive", "NEGATIVE"], NAMED) == [1, 0]
    assert indices(["0", "1", "0"], NAMED) == [0, 1, 0]
    assert indices(["0", "1"], ["LABEL_0", "LABEL_1"]) == [0, 1]
    assert indices(["1", "0"], ["1", "0"]) == [0, 1], "names that are numbers are names first"
    assert indices(["spam", "ham"], ["LABEL_0", "LABEL_1"], spam="LABEL_1", ham="LABEL_0") == [1, 0]
    assert indices(["10", "9"], None) == [1, 0]
    assert [plain_label(x) for x in ("1.0", "12.00", "1.5", "a.0", "-1.0")] == ["1", "12", "1.5", "a.0", "-1"]


def test_what_was_assumed_is_said() -> None:
    note = classes_of(["1", "0"], NAMED, {}, None, "the data").note
    assert note == "The labels were read as class numbers: 0 is negative, 1 is positive."
    assert classes_of(["positive"], NAMED, {}, None, "the data").note == ""


@pytest.mark.parametrize("labels", [["spam", "ham"], ["0", "2"], ["-1", "1"], ["positive", "neutral"]])
def test_an_unknown_label_is_refused_with_both_lists_and_the_way_out(labels: list[str]) -> None:
    with pytest.raises(RetortError) as caught:
        indices(labels, NAMED)
    assert all(word in caught.value.cause for word in (*labels, *NAMED))
    assert f"classes: {{{labels[0]}: negative, ...}}" in caught.value.remedy


def test_a_map_onto_a_class_that_is_none_is_refused() -> None:
    with pytest.raises(RetortError, match="'neutral', which the model does not know"):
        indices(["a", "b"], NAMED, a="positive", b="neutral")


def test_whole_numbers_of_a_table_are_one_class(home: Settings) -> None:
    path = home.roots[0] / "l.csv"
    path.write_text("text,label\na,1\nb,1.0\nc,0.0\nd,0\n")
    found = load_labelled(LabelledSource(f"path:{path}"), home, LOCAL, NAMED)
    assert found.labels == [1, 1, 0, 0] and found.names == NAMED and any("class numbers" in n for n in found.notes)
    alone = load_labelled(LabelledSource(f"path:{path}"), home, LOCAL)
    assert alone.names == ["0", "1"] and alone.labels == [1, 1, 0, 0]


def test_models_that_give_no_single_class() -> None:
    kind = {"architectures": ["BertForSequenceClassification"]}
    assert unjudged(kind) is None and unjudged({**kind, "id2label": {"0": "a", "1": "b"}}) is None
    assert "one number" in (unjudged({**kind, "id2label": {"0": "LABEL_0"}}) or "")
    assert "one number" in (unjudged({**kind, "num_labels": 1}) or "")
    assert "one number" in (unjudged({**kind, "problem_type": "regression", "num_labels": 3}) or "")
    assert "multi-label" in (unjudged({**kind, "problem_type": "multi_label_classification"}) or "")
    assert unjudged({"architectures": ["LlamaForCausalLM"], "num_labels": 1}) is None
