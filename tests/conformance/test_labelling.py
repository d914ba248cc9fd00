"""Labels from a language model, against plain transformers and the definition of contextual calibration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, BertModel

from core.base.errors import Impossible, RetortError
from core.base.progress import InMemoryReporter
from core.engine.distil.batches import SoftLabelled
from core.engine.distil.classification_head import with_classes
from core.engine.models.load import Loaded, load_model
from core.engine.run.labelling import agreement, class_log_probabilities, soft_labelled
from core.recipe.distil import Distil, Labelling, TrainingData
from tests.conftest import SENTENCES

PROMPT = "{text} This is about"
WORDS = {"mill": "water", "rain": "the weather", "model": "numbers"}
TEXTS = [f"{i}. {SENTENCES[i % 5]}" for i in range(12)]


def test_calibration_by_hand() -> None:
    """0.7 and 0.3, where a text without content gets 0.9 and 0.1, 0.8 and 0.2: 0.7 / 0.85 beside 0.3 / 0.15."""
    scores, free = torch.tensor([[0.7, 0.3]]).log(), torch.tensor([[0.9, 0.1], [0.8, 0.2]]).log()
    shifted = class_log_probabilities(scores - 20, free - 3, calibrated=True)
    assert shifted.exp().flatten().tolist() == pytest.approx([0.823529 / 2.823529, 2 / 2.823529], rel=1e-5)
    assert class_log_probabilities(scores, free, calibrated=False).exp().flatten().tolist() == pytest.approx([0.7, 0.3])


@pytest.fixture(scope="module")
def teacher(tiny_llama: Path) -> Loaded:
    return load_model(tiny_llama, "float32")


@pytest.fixture(scope="module")
def student(teacher: Loaded) -> Loaded:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    bare = replace(teacher, model=BertModel(BertConfig(vocab_size=384, **sizes)), task="encoder")
    return with_classes(bare, list(reversed(WORDS)))


def spec(**how: object) -> Distil:
    labelling = Labelling.model_validate({"prompt": PROMPT, "classes": WORDS, **how})
    return Distil(data=TrainingData(data="path:/t.csv", form="labels", length=48), held_out=2, labelling=labelling)


def by_hand(folder: Path, texts: list[str]) -> np.ndarray:
    """`(texts, classes)` log-likelihoods of the words after the prompt, one full forward pass each."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    found = []
    for text in texts:
        for words in WORDS.values():
            prompt = tokenizer(PROMPT.replace("{text}", text))["input_ids"]
            ids = tokenizer(PROMPT.replace("{text}", text) + " " + words)["input_ids"]
            with torch.no_grad():
                log_p = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            found.append(sum(float(log_p[n - 1, ids[n]]) for n in range(len(prompt), len(ids))))
    return np.array(found).reshape(len(texts), -1)


def test_labels_are_those_of_plain_transformers(
    teacher: Loaded, student: Loaded, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    reporter = InMemoryReporter()
    gold = ["Rain", *["mill"] * 11]
    made = soft_labelled(TEXTS, gold, spec(), teacher, "t", student, tmp_path, reporter, said.append)
    p, free = (np.exp(by_hand(tiny_llama, texts)) for texts in (TEXTS, ["N/A", "[MASK]", ""]))
    p, free = p / p.sum(1, keepdims=True), (free / free.sum(1, keepdims=True)).mean(0)
    calibrated = p / free / (p / free).sum(1, keepdims=True)
    assert made.log_p.exp().numpy() == pytest.approx(calibrated[:, ::-1], rel=1e-4)  # the student's order of classes
    answers = [list(WORDS)[i] for i in calibrated.argmax(1)]
    assert made.labels.tolist() == [list(reversed(WORDS)).index(a) for a in answers]
    right = sum(a == g.lower() for a, g in zip(answers, gold, strict=True))
    assert any(f"the teacher is right on {right} of 12" in s for s in said)

    least = float(np.sort(calibrated.max(1))[5]) - 1e-4  # seven are at least so sure
    stored = json.loads(next(tmp_path.glob("[!.]*.json")).read_text())
    assert len(stored) == 15
    monkeypatch.setattr("core.engine.run.labelling.option_scores", None)  # what is stored is not computed again
    sure = soft_labelled(TEXTS, None, spec(least=least), teacher, "t", student, tmp_path, reporter, said.append)
    assert sure.count == 7 and any("5 of 12 texts are left out" in s for s in said)
    with pytest.raises(RetortError, match="sure enough"):
        soft_labelled(TEXTS, None, spec(least=0.999), teacher, "t", student, tmp_path, reporter, said.append)
    for other in ("another teacher", "t"):  # another teacher, or another prompt, is asked itself
        asked = spec() if other != "t" else spec(prompt="Of {text}: ")
        with pytest.raises(TypeError):
            soft_labelled(TEXTS, None, asked, teacher, other, student, tmp_path, reporter, said.append)


def test_agreement_is_counted_on_the_first_texts(teacher: Loaded, student: Loaded) -> None:
    sequences = [torch.tensor(teacher.tokenizer(t)["input_ids"]) for t in TEXTS]
    with torch.no_grad():
        given = [int(student.model(ids[None]).logits.argmax()) for ids in sequences]
    labels = torch.tensor([*given[:6], *((g + 1) % 3 for g in given[6:])])
    examples = SoftLabelled(sequences, labels, 0, torch.zeros(12, 3))
    assert agreement(student, examples, 8, 3) == pytest.approx(6 / 8)


def test_other_classes_and_other_teachers_are_refused(teacher: Loaded, student: Loaded, tmp_path: Path) -> None:
    reporter = InMemoryReporter()
    with pytest.raises(Impossible, match="The student knows the classes"):
        fewer = spec(classes={"mill": "water", "rain": "the weather"})
        soft_labelled(TEXTS, None, fewer, teacher, "t", student, tmp_path, reporter, print)
    with pytest.raises(Impossible, match="labels are given by one that continues a text"):
        soft_labelled(TEXTS, None, spec(), student, "t", student, tmp_path, reporter, print)
