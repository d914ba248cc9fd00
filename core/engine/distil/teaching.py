"""The teacher of one distil step: live or stored, and what it reaches itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from core.base.progress import Reporter
from core.engine.distil.batch_sampler import Order
from core.engine.distil.batches import Examples, SoftLabelled
from core.engine.distil.feature_terms import FeatureTerms
from core.engine.distil.loss_terms import LossTerm
from core.engine.distil.objective import Objective
from core.engine.distil.outputs import Outputs
from core.engine.distil.teacher import LabellingTeacher, LiveTeacher, ReadingTeacher, Teacher
from core.engine.distil.teacher_cache import build_cache
from core.engine.distil.teacher_cache_reader import CachedTeacher
from core.engine.models.compatibility import label_order
from core.engine.models.load import Loaded
from core.engine.models.shared_tokens import SharedTokens
from core.recipe.distil import Distil


def teacher_of(
    student: Loaded,
    teacher: Loaded | None,
    spec: Distil,
    parts: Sequence[LossTerm],
    features: FeatureTerms | None,
    examples: Examples,
    identity: str,
    cache: Path,
    reporter: Reporter,
    shared: SharedTokens | None = None,
) -> Teacher | None:
    """The live teacher, or the stored one (made first, as far as it is missing); None where no term needs one.

    Args:
        identity: what identifies the teacher: bytes, dtype, libraries.
        cache: where stored teachers live.
        shared: the tokens they are compared over, where the two models' numbers differ.
    """
    if isinstance(examples, SoftLabelled) and spec.needs_teacher:
        return LabellingTeacher(examples.log_p)
    if teacher is None or not spec.needs_teacher:
        return None
    if spec.by_text:
        return ReadingTeacher(Outputs(teacher.model, teacher.task))
    order = _order(student, teacher)
    outputs = Outputs(teacher.model, teacher.task, order, shared=shared)
    compared = shared if student.task in ("causal", "masked") else None  # classes are compared otherwise
    live = LiveTeacher(outputs, features.teacher if features else None, compared)
    if spec.cache is None:
        return live
    temperatures = [p.temperature for p in parts if p.loss.kind == "distribution"]
    asked = identity if order is None else f"{identity} {order.tolist()}"  # answers in the student's order
    asked = asked if shared is None else f"{asked} {shared.digest}"
    wanted = Order(examples, spec.held_out, spec.batch, spec.seed).reads(spec.budget) if examples.count else []
    folder = build_cache(
        live,
        examples,
        spec.cache,
        temperatures,
        asked,
        cache / "teachers",
        spec.batch,
        reporter,
        wanted,
    )
    return CachedTeacher(folder, spec.cache, student.model.device, compared)


def teacher_itself(
    student: Loaded,
    teacher: Loaded | None,
    spec: Distil,
    parts: Sequence[LossTerm],
    shared: SharedTokens | None = None,
) -> Objective | None:
    """The teacher in the student's place, with the terms that do not look inside.

    None where it teaches nothing, or cannot read the student's tokens.
    """
    if teacher is None or not spec.needs_teacher or spec.by_text or student.task == "encoder":
        return None
    live = LiveTeacher(Outputs(teacher.model, teacher.task, _order(student, teacher), shared=shared))
    return Objective(live.outputs, live, [p for p in parts if p.loss.group != "feature"])


def _order(student: Loaded, teacher: Loaded) -> torch.Tensor | None:
    """The teacher's classes in the student's order."""
    return label_order(teacher.model, student.model) if student.task == "classification" else None
