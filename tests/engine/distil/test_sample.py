"""A real model, pruned and taught by itself: what was lost must begin to come back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.engine.data.corpora import load_texts
from core.engine.data.windows import evaluation_windows
from core.engine.distil.loading import load_examples
from core.engine.distil.run import TrainContext, distil
from core.engine.evaluate.perplexity import perplexity
from core.engine.models.architectures import adapter_for
from core.engine.models.load import load_model
from core.engine.prune.surgery import Keep, cut
from core.recipe.distil import Distil, Schedule, Term, TrainingBudget, TrainingData
from core.recipe.recipe import Corpus

REMOVED = (12, 13, 14, 17)  # the four layers of lowest block influence


@pytest.mark.sample
@pytest.mark.slow
def test_a_pruned_smollm2_begins_to_recover(sample_home: Settings, tmp_path: Path) -> None:
    teacher = load_model(sample_home.samples / "smollm2-135m")
    kept = [i for i in range(30) if i not in REMOVED]
    with torch.no_grad():
        student = replace(teacher, model=cut(teacher.model, adapter_for(teacher.model), Keep(kept)))
    texts = load_texts(Corpus(split="evaluation"), sample_home, LOCAL)
    windows = evaluation_windows(texts, teacher.tokenizer, 2048, 256)

    def measured(loaded: object) -> float:
        return perplexity(loaded.model, windows, 4, InMemoryReporter())[0].value  # type: ignore[attr-defined]

    dense, pruned = measured(teacher), measured(student)
    spec = Distil(
        losses=(Term(loss="logit_kl"),),
        data=TrainingData(length=256),
        batch=4,
        budget=TrainingBudget(steps=8),
        schedule=Schedule(learning_rate=1e-4),
        evaluate_every=8,
        held_out=4,
    )
    train_context = TrainContext(
        tmp_path / "run",
        tmp_path / "cache",
        InMemoryReporter(),
        "pruned",
        "dense",
        teacher.dtype == torch.bfloat16,
        kept,
    )
    outcome = distil(student, teacher, spec, load_examples(spec.data, student, sample_home, LOCAL), train_context)
    recovered = measured(student)
    assert pruned > 1.3 * dense
    assert dense < recovered < pruned - 0.15 * (pruned - dense), (dense, pruned, recovered)
    assert outcome.stopped is None and student.model.dtype == teacher.dtype
