"""What cannot be trained together: refused on the loaded models, before the first step."""

from __future__ import annotations

from core.base.errors import Impossible, RetortError
from core.engine.distil.batches import Examples, LabelledExamples, SoftLabelled
from core.engine.models.context import context_of, padding_of, pools_last
from core.engine.models.load import Loaded
from core.recipe.distil import Distil


def check_fit(student: Loaded, teacher: Loaded | None, spec: Distil, examples: Examples) -> None:
    """Refuses what would fail later or, worse, work wrongly."""
    labelled = isinstance(examples, SoftLabelled)
    if teacher is None and not labelled and (spec.needs_teacher or spec.teacher_texts is not None):
        raise RetortError("These losses compare with a teacher, and none was given.", "Choose a teacher.")
    if teacher is not None:
        if teacher.model is student.model:
            raise RetortError("Teacher and student are the same model in memory.", "Load the student separately.")
        if teacher.task != student.task and spec.needs_teacher:
            raise Impossible(
                f"The teacher is a {teacher.task} model and the student a {student.task} one.",
                "Choose two models for the same task.",
            )
    if student.task == "encoder" and any(t.described.group != "feature" for t in spec.losses):
        raise Impossible(
            "The student has no output layer, so only what happens inside it can be compared.",
            "Use the hidden state or attention relation losses, or give the model a head for its task first.",
        )
    if student.task == "seq2seq":
        raise Impossible(
            "Training is for models with one stack of layers, and this one has an encoder and a decoder.",
            "Prune its weights, or choose a causal language model.",
        )
    if (student.task == "classification") != isinstance(examples, LabelledExamples):
        raise Impossible(
            "The data and the student do not fit: a classifier needs texts with labels, a language model plain text.",
            "Set 'form: labels' for a classifier, and 'text' or 'chat' otherwise.",
        )
    if student.task == "classification" and pools_last(student.model) and padding_of(student.model.config) is None:
        token = student.tokenizer.eos_token_id
        number = f", such as {token}, its end token" if token is not None else ""
        raise RetortError(
            "This classifier looks at the last token that is not padding, and its config does not say which token is.",
            f"Write 'pad_token_id' into its config.json{number}.",
        )
    if student.task != "causal" and (spec.on_policy or spec.teacher_texts or spec.by_text or spec.data.form == "chat"):
        raise Impossible(
            "This step needs a model that continues a text, and the student does not.",
            "Leave out 'on_policy', 'teacher_texts', 'form: chat' and losses across tokenizers, or choose a causal "
            "language model.",
        )
    context = context_of(student.model)
    if context is not None and spec.data.length > context:
        raise Impossible(
            f"The sequences are {spec.data.length} tokens long, and the student reads at most {context}.",
            f"Set 'length' to {context} or less.",
        )
