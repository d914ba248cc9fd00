"""Classifiers, masked models and other architectures: the same losses, seen through the whole step."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForSequenceClassification,
    Phi3Config,
    Phi3ForCausalLM,
)

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.catalogue.kinds import Task
from core.engine.distil.batches import LabelledExamples, MaskedWindows, Windows
from core.engine.distil.feature_terms import FeatureTerms
from core.engine.distil.fit import check_fit
from core.engine.distil.loss_terms import loss_terms
from core.engine.distil.objective import Normalisers, Objective
from core.engine.distil.outputs import Outputs
from core.engine.distil.run import TrainContext, distil
from core.engine.distil.teacher import LiveTeacher
from core.engine.distil.texts import labelled
from core.engine.models.load import Loaded
from core.recipe.distil import Distil, Schedule, TeacherCache, Term, TrainingBudget, TrainingData
from core.registry.losses import LOSSES
from core.registry.mixes import MIXES

SIZES = {
    "vocab_size": 384,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
NAMES = ["mill", "harbour", "parcel", "model", "rain"]


@pytest.fixture
def tokenizer(tiny_llama: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_llama)


def bert(names: list[str], seed: int, dropout: float = 0.0) -> BertForSequenceClassification:
    torch.manual_seed(seed)
    config = BertConfig(
        **SIZES,
        id2label=dict(enumerate(names)),
        label2id={n: i for i, n in enumerate(names)},
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    return sure(BertForSequenceClassification(config))


def sure(model: Any) -> Any:
    """Random weights scaled up, so that the outputs differ from one text to the next."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name.lower():
                parameter.mul_(5.0)
    return model.eval()


def loaded(model: Any, tokenizer: Any, task: Task) -> Loaded:
    return Loaded(model, tokenizer, Path("."), torch.float32, task)


@pytest.fixture
def sentences(tokenizer: Any) -> LabelledExamples:
    from tests.conftest import SENTENCES

    texts = [f"{i}. {SENTENCES[i % 5]}" for i in range(80)]
    return labelled(texts, [NAMES[i % 5] for i in range(80)], NAMES, tokenizer, 48)


def test_a_classifier_learns_from_a_teacher_with_its_classes_in_another_order(
    tokenizer: Any, sentences: LabelledExamples
) -> None:
    """Soft labels and cross-entropy against numpy, classes matched by name, padded texts of different length."""
    student, teacher = bert(NAMES, 0), bert([n.upper() for n in reversed(NAMES)], 1)
    order = torch.arange(4, -1, -1)
    terms = [Term(loss="soft_labels", parameters={"temperature": 3.0}), Term(loss="cross_entropy")]
    live = LiveTeacher(Outputs(teacher, "classification", order))
    objective = Objective(Outputs(student, "classification"), live, loss_terms(terms))
    batch = sentences.take([0, 1, 2, 13], 0)
    found = {n: float(v) for n, v in objective.backward(batch, Normalisers.of([batch])).items()}
    s, t = [], []
    for i in (0, 1, 2, 13):  # one text at a time, without any padding
        ids = sentences.sequences[i][None]
        with torch.no_grad():
            s.append(student(ids).logits[0].double().numpy())
            t.append(teacher(ids).logits[0].double().numpy()[::-1])
    S, T = (np.exp(np.array(x) / 3) / np.exp(np.array(x) / 3).sum(1, keepdims=True) for x in (s, t))
    assert found["soft_labels"] == pytest.approx(9 * (T * np.log(T / S)).sum(1).mean(), rel=1e-4)
    P = np.exp(s) / np.exp(s).sum(1, keepdims=True)
    assert found["cross_entropy"] == pytest.approx(-np.log(P[range(4), [0, 1, 2, 3]]).mean(), rel=1e-5)


def step(**given: Any) -> Distil:
    usual: dict[str, Any] = {
        "batch": 8,
        "budget": TrainingBudget(steps=60),
        "schedule": Schedule(learning_rate=4e-3),
        "held_out": 20,
        "evaluate_every": 20,
        "data": TrainingData(data="sample:reuters-r8/train", form="labels", length=48),
    }
    return Distil(**usual | given)


@pytest.mark.slow
def test_task_specific_distillation_end_to_end(tokenizer: Any, sentences: LabelledExamples, tmp_path: Path) -> None:
    """A classifier is fine-tuned, then taught to a smaller one, live and stored; both agree with it."""
    train_context = lambda name: TrainContext(tmp_path / name, tmp_path / "cache", InMemoryReporter(), "s", "t")  # noqa: E731
    teacher = loaded(bert(NAMES, 0, dropout=0.1), tokenizer, "classification")
    finetune = step(step="finetune", losses=(Term(loss="cross_entropy"),))
    outcome = distil(teacher, None, finetune, sentences, train_context("teacher"))
    assert outcome.evaluations[0].value > 1.4 and min(e.value for e in outcome.evaluations) < 0.5
    fresh = loaded(bert(NAMES[::-1], 5), tokenizer, "classification")
    for name, cache in (("live", None), ("stored", TeacherCache(k=5, precision="float32"))):
        student = replace(fresh, model=copy.deepcopy(fresh.model))
        turned = LabelledExamples(sentences.sequences, 4 - sentences.labels, sentences.padding)
        losses = (Term(loss="soft_labels"), Term(loss="cross_entropy", weight=0.5))
        spec = step(losses=losses, cache=cache, budget=TrainingBudget(steps=40))
        distil(student, teacher, spec, turned, train_context(name))
        held = turned.take(range(20), 0)
        with torch.no_grad():
            guesses = student.model(held.ids, attention_mask=held.attended.long()).logits.argmax(-1)
        assert float((guesses == held.targets[:, 0]).float().mean()) > 0.9, name


def test_the_distilbert_mix_on_masked_models(tokenizer: Any, windows: Windows, tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = sure(BertForMaskedLM(BertConfig(**SIZES)))
    student = DistilBertForMaskedLM(
        DistilBertConfig(
            vocab_size=384,
            dim=32,
            n_layers=1,
            n_heads=4,
            hidden_dim=48,
            max_position_embeddings=64,
        )
    ).eval()
    terms = tuple(Term(loss=name, weight=w, parameters=p) for name, w, p in MIXES["distilbert"].terms)
    data = MaskedWindows(windows.ids, mask_token=5)
    spec = step(losses=terms, data=TrainingData(length=24), held_out=16, budget=TrainingBudget(steps=30))
    outcome = distil(
        loaded(student, tokenizer, "masked"),
        loaded(teacher, tokenizer, "masked"),
        spec,
        data,
        TrainContext(tmp_path / "run", tmp_path / "cache", InMemoryReporter(), "s", "t"),
    )
    first, last = outcome.evaluations[0], outcome.evaluations[-1]
    assert set(first.terms) == {"soft_labels", "cross_entropy", "hidden_cosine"}
    assert first.value == pytest.approx(
        5 * first.terms["soft_labels"] + 2 * first.terms["cross_entropy"] + first.terms["hidden_cosine"]
    )
    # The teacher's random weights know nothing of the text, so the two kinds of labels pull apart.
    assert last.value < 0.9 * first.value
    assert last.terms["hidden_cosine"] < 0.5 * first.terms["hidden_cosine"]


def test_the_masked_loss_counts_hidden_words_and_the_soft_labels_all(tokenizer: Any, windows: Windows) -> None:
    torch.manual_seed(0)
    student, teacher = BertForMaskedLM(BertConfig(**SIZES)).eval(), BertForMaskedLM(BertConfig(**SIZES)).eval()
    objective = Objective(
        Outputs(student, "masked"),
        LiveTeacher(Outputs(teacher, "masked")),
        loss_terms([Term(loss="logit_kl"), Term(loss="cross_entropy")]),
    )
    batch = MaskedWindows(windows.ids, mask_token=5).take([1, 2, 3], 9)
    found = objective.value(batch, Normalisers.of([batch]))
    with torch.no_grad():
        s, t = (m(batch.ids).logits.double() for m in (student, teacher))
    hidden = batch.ids == 5
    gold = -s.log_softmax(-1).gather(-1, windows.ids[1:4, :, None])[..., 0]
    assert float(found["cross_entropy"]) == pytest.approx(float(gold[hidden].mean()), rel=1e-5)
    soft = (t.softmax(-1) * (t.log_softmax(-1) - s.log_softmax(-1))).sum(-1)
    assert float(found["logit_kl"]) == pytest.approx(float(soft.mean()), rel=1e-5)


CAUSAL = {
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=384, n_embd=32, n_layer=2, n_head=4, n_positions=64)),
    "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES)),
    "phi3": lambda: Phi3ForCausalLM(Phi3Config(**SIZES, num_key_value_heads=2, pad_token_id=0)),
}


@pytest.mark.parametrize("kind", CAUSAL)
def test_every_loss_on_fused_projections(kind: str, windows: Windows) -> None:
    torch.manual_seed(0)
    student, teacher = CAUSAL[kind]().eval(), CAUSAL[kind]().eval()
    parts = loss_terms([Term(loss=name) for name, one in LOSSES.items() if not one.by_text])
    features = FeatureTerms(student, teacher, parts, [(0, 0), (1, 1)], causal=True)
    live = LiveTeacher(Outputs(teacher, "causal"), features.teacher)
    objective = Objective(Outputs(student, "causal"), live, parts, features)
    batch = windows.take([0, 1], 0)
    for part in parts:
        student.zero_grad()
        objective.backward(batch, Normalisers.of([batch]), only=part.name)
        norms = [float(p.grad.norm()) for p in student.parameters() if p.grad is not None]
        assert max(norms) > 1e-6, part.name


@pytest.mark.parametrize("kind", CAUSAL)
def test_fused_projections_are_read_as_the_model_reads_them(kind: str, windows: Windows) -> None:
    """Attention rebuilt from the values that were read must be what the output projection is given.

    The first token sees only itself, so its attention output is its own value, whatever the scores are.
    """
    torch.manual_seed(0)
    model: Any = CAUSAL[kind]().eval()
    from core.engine.distil.activation_hooks import ActivationHooks

    blocks = {"gpt2": lambda: model.transformer.h, "gpt_neox": lambda: model.gpt_neox.layers}.get(
        kind, lambda: model.model.layers
    )()
    attention = getattr(blocks[1], {"gpt2": "attn", "gpt_neox": "attention"}.get(kind, "self_attn"))
    output = getattr(attention, {"gpt2": "c_proj", "gpt_neox": "dense"}.get(kind, "o_proj"))
    given: list[torch.Tensor] = []
    output.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    hooks = ActivationHooks(model, [], [1])
    with torch.no_grad(), hooks:
        model(windows.ids[:2])
    query, key, value = hooks.projections(1)
    groups = query.shape[-1] // value.shape[-1]
    repeated = value.unflatten(-1, (-1, 8)).repeat_interleave(groups, 2).flatten(2)
    assert torch.allclose(given[0][:, 0], repeated[:, 0], atol=1e-6)
    assert key.shape == value.shape and not torch.allclose(query[..., : key.shape[-1]], key)


def test_an_encoder_without_a_head_learns_features_only(tokenizer: Any, windows: Windows, tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher, student = BertModel(BertConfig(**SIZES)).eval(), BertModel(BertConfig(**SIZES)).eval()
    pair = [loaded(m, tokenizer, "encoder") for m in (student, teacher)]
    train_context = TrainContext(tmp_path / "run", tmp_path / "cache", InMemoryReporter(), "s", "t")
    data = MaskedWindows(windows.ids, mask_token=5, share=0.01)
    common = {"data": TrainingData(length=24), "held_out": 8, "budget": TrainingBudget(steps=15)}
    losses = (Term(loss="hidden_mse"), Term(loss="attention_relations"))
    outcome = distil(*pair, step(losses=losses, **common), data, train_context)
    assert outcome.evaluations[-1].value < outcome.evaluations[0].value
    with pytest.raises(RetortError, match="no output layer"):
        distil(*pair, step(losses=(Term(loss="logit_kl"),), **common), data, train_context)


def test_what_does_not_fit_is_refused_before_any_work(
    teacher: Loaded, student: Loaded, windows: Windows, sentences: LabelledExamples, tokenizer: Any, tmp_path: Path
) -> None:
    train_context = TrainContext(tmp_path / "run", tmp_path / "cache", InMemoryReporter(), "s", "t")
    language = step(data=TrainingData(length=24), losses=(Term(loss="logit_kl"),))
    with pytest.raises(RetortError, match="same model in memory"):
        distil(teacher, teacher, language, windows, train_context)
    with pytest.raises(RetortError, match="a classifier needs texts with labels"):
        distil(student, teacher, language, sentences, train_context)
    with pytest.raises(RetortError, match="classification model and the student a causal one"):
        distil(student, loaded(bert(NAMES, 0), tokenizer, "classification"), language, windows, train_context)
    long = step(data=TrainingData(length=512), losses=(Term(loss="logit_kl"),))
    with pytest.raises(RetortError, match="512 tokens long, and the student reads at most 256"):
        distil(student, teacher, long, windows, train_context)
    assert not (tmp_path / "run").exists()


def test_a_decoder_learns_classes_only_where_it_knows_which_token_is_padding(
    tokenizer: Any, sentences: LabelledExamples
) -> None:
    """It looks at the last token that is not padding; the refusal names the key and a token for it."""
    config = LlamaConfig(**SIZES, num_labels=5, pad_token_id=None)
    student = loaded(LlamaForSequenceClassification(config), tokenizer, "classification")
    spec = Distil(
        losses=(Term(loss="cross_entropy"),),
        teacher="baseline",
        data=TrainingData(data="sample:reuters-r8/train", form="labels", length=48),
    )
    with pytest.raises(RetortError, match="does not say which token") as refused:
        check_fit(student, None, spec, sentences)
    assert refused.value.remedy == "Write 'pad_token_id' into its config.json, such as 0, its end token."
    student.model.config.pad_token_id = 0
    check_fit(student, None, spec, sentences)
