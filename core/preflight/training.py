"""Whether a distil or fine-tune step fits its models, as far as their files tell.

The engine checks the loaded models once more (`core.engine.distil.fit.check_fit`).
"""

from __future__ import annotations

from dataclasses import replace

from core.base.errors import Impossible, RetortError
from core.base.settings import Settings
from core.catalogue.references import resolve
from core.catalogue.safetensors_header import read_headers
from core.preflight import tokens
from core.preflight.subject import Subject, subject_of
from core.recipe.labelling import not_a_labeller
from core.recipe.recipe import Distil


def known(reference: str, settings: Settings) -> Subject | None:
    """The model behind a reference, as far as it is here; None where it is not, or cannot be opened."""
    try:
        return subject_of(resolve(reference, settings, None))
    except RetortError:
        return None  # what is wrong with it is said by whoever opens it


def trained(step: Distil, start: Subject, current: Subject, settings: Settings) -> Subject | None:
    """The model that learns, as it is before it learns; None where nothing is known of it."""
    if step.design is not None:
        source = (
            start if step.teacher == "baseline" else current if step.earlier_step else known(step.teacher, settings)
        )
        learner = None if source is None else replace(source, sized=False, masked=False, fingerprint="")
    elif step.student != "current":
        learner = known(step.student, settings)
    else:
        learner = current
    if learner is not None and step.data.form == "labels":
        learner = replace(learner, task="classification")
    return learner


def after(step: Distil, learner: Subject) -> Subject:
    """The model once it has learned."""
    return replace(learner, masked=learner.masked and step.keep_zeros, fingerprint="", packed=False)


def obstacle(step: Distil, start: Subject, learner: Subject, settings: Settings) -> RetortError | None:
    """Why `learner` cannot learn what the step says, or None where nothing speaks against it."""
    teacher = None
    if step.teacher == "baseline":
        teacher = start
    elif step.earlier_step is None and (step.taught or step.design is not None):
        teacher = known(step.teacher, settings)
    return (
        _data(step, learner)
        or _adapters(step, learner)
        or _stored(step, learner)
        or (_teacher(step, teacher, learner) if teacher is not None and step.taught else None)
        or _design(step, teacher)
    )


def _data(step: Distil, learner: Subject) -> RetortError | None:
    task, form, context = learner.task, step.data.form, learner.found.shape.context
    if task == "seq2seq":
        return Impossible(
            "Training is for models with one stack of layers, and this one has an encoder and a decoder.",
            "Prune its weights, or choose a causal language model.",
        )
    if task == "classification" and form != "labels":
        return Impossible("A classifier learns from texts with labels, and this text has none.", "Set 'form: labels'.")
    if task in ("masked", "encoder"):
        what = {"on_policy": step.on_policy, "teacher_texts": step.teacher_texts}
        asked = [name for name, value in what.items() if value is not None]
        asked += [t.loss for t in step.losses if t.described.by_text]
        asked += ["form: chat"] if form == "chat" else []
        asked += ["streaming"] if step.data.streaming else []
        if asked:
            return Impossible(
                f"'{asked[0]}' needs a model that continues a text, and this one fills gaps in it.",
                f"Leave '{asked[0]}' out, or choose a causal language model.",
            )
    if task == "encoder" and any(t.described.group != "feature" for t in step.losses):
        return Impossible(
            "The student has no output layer, so only what happens inside it can be compared.",
            "Use the hidden state or attention relation losses, or give it classes with 'form: labels'.",
        )
    if context is not None and step.data.length > context:
        return Impossible(
            f"The sequences are {step.data.length} tokens long, and the student reads at most {context}.",
            f"Set 'length' to {context} or less.",
        )
    return None


def _adapters(step: Distil, learner: Subject) -> RetortError | None:
    if step.lora is None:
        return None
    if learner.masked and step.keep_zeros:
        return Impossible(
            "The student's pruned weights would not stay zero: merging the adapters fills them.",
            "Train all weights (leave out 'lora'), or set 'keep_zeros: false'.",
        )
    names = {name.split(".")[-2] for name in read_headers(learner.folder) if name.endswith(".weight") and "." in name}
    if step.lora.modules and not names & set(step.lora.modules):
        return Impossible(
            f"The model has no linear layer named {', '.join(step.lora.modules)}.",
            "Leave 'modules' out, or name layers of this model.",
        )
    return None


def _stored(step: Distil, learner: Subject) -> RetortError | None:
    if step.cache is None or not (step.data.streaming or learner.task in ("masked", "encoder")):
        return None
    why = "streamed" if step.data.streaming else "masked anew each time"
    return Impossible(
        f"A stored teacher needs sequences that stay the same, and these are {why}.",
        "Leave 'cache' out: the live teacher can be asked anything.",
    )


def _teacher(step: Distil, teacher: Subject, learner: Subject) -> RetortError | None:
    if step.labelling is not None:
        return not_a_labeller(teacher.task)
    tasks = {"causal", "masked", "classification", "encoder"}
    if step.needs_teacher and teacher.task != learner.task and {teacher.task, learner.task} <= tasks:
        return Impossible(
            f"The teacher is a {teacher.task} model and the student a {learner.task} one.",
            "Choose two models for the same task.",
        )
    if learner.trimmed:
        return None
    return tokens.obstacle(step, teacher.folder, learner.folder, learner.task)


def _design(step: Distil, teacher: Subject | None) -> RetortError | None:
    if step.design is None or teacher is None or not teacher.sized:
        return None
    layers, sizes, shape = step.design.layers, step.design.sizes, teacher.found.shape
    if layers and teacher.layers and layers > teacher.layers:
        return Impossible(
            f"The student should have {layers} layers, and the teacher has {teacher.layers}.",
            f"Ask for {teacher.layers} layers or fewer.",
        )
    have = {"intermediate": shape.intermediate, "heads": shape.heads, "hidden": shape.hidden, "experts": shape.experts}
    for name, wanted in sizes or ():
        there = have.get(name)
        if wanted is not None and there and wanted > there:
            return Impossible(f"The teacher has {there} for '{name}', less than {wanted}.", "Ask for less.")
    return None
