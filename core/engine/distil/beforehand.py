"""What can be known of the training data of a recipe before its first step: said and refused then, not hours later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.base.progress import Reporter
from core.base.roles import Actor
from core.base.settings import Settings
from core.engine.data.classification import load_labelled
from core.engine.data.inputs import refuse_overlap
from core.engine.data.windows import overlap
from core.engine.distil.loading import check_chat, texts_to_label, training_texts
from core.recipe.parts import LabelledSet
from core.recipe.recipe import Distil, Recipe


def check_training_texts(
    recipe: Recipe, tokenizer: Any, evaluation: Sequence[str], settings: Settings, actor: Actor, reporter: Reporter
) -> None:
    """Reads the data of every training step, as the recipe's own model would.

    Args:
        tokenizer: of the recipe's model.
        evaluation: the texts quality is measured on; empty where it is not.

    Raises:
        RetortError: data that cannot be read, conversations the chat template refuses, or a training text that holds
            more than a twentieth of the evaluation text.
    """
    for step in {(s.data.model_dump_json(), s.student): s for s in recipe.trainings}.values():
        data = step.data
        if data.form == "labels":
            _check_labels(step, tokenizer, recipe.evaluation.labelled, settings, actor, reporter)
            continue
        if data.form == "chat" and step.student == "current":
            check_chat(data, tokenizer, settings, actor)
        if evaluation and not data.streaming:
            shared = overlap(evaluation, training_texts(data, tokenizer, settings, actor))
            refuse_overlap(shared, f"the training text {data.data}", reporter)


def _check_labels(
    step: Distil, tokenizer: Any, judged_on: LabelledSet | None, settings: Settings, actor: Actor, reporter: Reporter
) -> None:
    """A classifier is told about the texts it is judged on, and so is who reads its accuracy."""
    if step.labelling is not None:
        learnt, _ = texts_to_label(step.data, tokenizer, settings, actor)
    else:
        learnt = load_labelled(step.data.source, settings, actor).texts
    if judged_on is None:
        return
    texts = load_labelled(judged_on.source, settings, actor).first(judged_on.items).texts
    known = {" ".join(t.lower().split()) for t in learnt}
    shared = sum(" ".join(t.lower().split()) in known for t in texts)
    if shared:
        reporter.event(
            "warning",
            f"{shared:,} of the {len(texts):,} texts the accuracy is measured on ({judged_on.data}) also stand in the "
            f"training data ({step.data.data}): the accuracy flatters.",
        )
