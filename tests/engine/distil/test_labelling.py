"""A language model labels texts and an encoder learns its labels: a whole run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertModel

from core.base.settings import Settings
from core.recipe.check import check_recipe
from core.registry.measurement import find_metric
from tests.conftest import SENTENCES
from tests.engine.conftest import Memory

WORDS = {"mill": "water", "rain": "the weather"}


def test_an_encoder_learns_what_a_language_model_says(run: Callable[..., Memory], loud: Path, home: Settings) -> None:
    torch.manual_seed(0)
    encoder, teacher, texts = (home.roots[0] / name for name in ("encoder", "teacher", "mine.csv"))
    shutil.copytree(loud, teacher)
    tokenizer = AutoTokenizer.from_pretrained(loud)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=384, pad_token_id=0, **sizes)).save_pretrained(encoder)
    tokenizer.save_pretrained(encoder)
    lines = [f"{i}. {SENTENCES[i % 5]}" for i in range(60)]
    texts.write_text("text\n" + "".join(f'"{line}"\n' for line in lines))
    judged = home.roots[0] / "judged.csv"
    rows = (f'"{i}. {SENTENCES[i % 2 * 4]}",{list(WORDS)[i % 2]}' for i in range(20))
    judged.write_text("\n".join(["text,label", *rows]) + "\n")
    step = {
        "step": "distil",
        "teacher": f"path:{teacher}",
        "labelling": {"prompt": "{text} This is about", "classes": WORDS},
        "losses": [{"loss": "soft_labels", "parameters": {"temperature": 1.0}}],
        "data": {"data": f"path:{texts}", "form": "labels", "length": 48},
        "batch": 8,
        "held_out": 20,
        "budget": {"steps": 30},
        "schedule": {"learning_rate": 3e-3},
        "evaluate_every": 30,
    }
    done = run(encoder, step, {"step": "evaluate"}, evaluation={"labelled": {"data": f"path:{judged}"}})
    assert not done.failed
    result = done.results[done.trials[1].key]
    notes = " ".join(result.notes)
    assert "The teacher labelled 60 texts" in notes and "the held-out loss went from" in notes
    assert find_metric(result.measurements, "accuracy") is not None

    folder = done.candidate_folder(result.key) / "model"
    student = AutoModelForSequenceClassification.from_pretrained(folder)
    assert [student.config.id2label[i] for i in range(2)] == list(WORDS)
    first, last = (value for name, _, value in done.points if name == "held_out/total")
    assert last < first
    share = result.facts["teacher_agreement"]
    assert f"{share:.0%}".replace("%", " %") in notes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labelling": {"prompt": "About", "classes": WORDS}}, "holds {text} once"),
        ({"labelling": {"prompt": "{text}", "classes": {"a": "x", "b": " x"}}}, "words of its own"),
        ({"data": {"data": "path:/a.txt"}}, "use 'form: labels'"),
        ({"losses": [{"loss": "cross_entropy"}]}, "add 'soft_labels'"),
        ({"losses": [{"loss": "hidden_mse"}]}, "needs more than the probabilities of classes"),
        ({"cache": {}}, "leave out 'cache'"),
    ],
)
def test_recipes_that_cannot_be_meant(change: dict[str, Any], said: str) -> None:
    step = {
        "step": "distil",
        "labelling": {"prompt": "{text} is", "classes": WORDS},
        "data": {"data": "path:/a.csv", "form": "labels"},
        "losses": [{"loss": "soft_labels"}],
        **change,
    }
    with pytest.raises(Exception, match=said):
        check_recipe({"model": "sample:minilm", "steps": [step]})
