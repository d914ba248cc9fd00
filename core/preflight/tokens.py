"""Whether two models cut texts into the same tokens, as far as their tokenizer.json files tell."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from core.base.errors import Impossible, RetortError
from core.base.json_io import load
from core.base.settings import Settings
from core.base.text import one_line
from core.base.untrusted_files import read_bounded
from core.catalogue.references import resolve
from core.recipe.recipe import Distil

_TOKENIZER_BYTES = 64_000_000
_ACROSS = (
    "Use the loss span_likelihood (on the Distil page: 'A teacher with another tokenizer'), which compares by the "
    "text, let the student learn the teacher's texts ('teacher_texts' with the loss cross_entropy alone), or choose a "
    "student whose tokens the teacher has as well."
)
_SHARED = "Choose a student whose tokens the teacher has as well."


def differing(teacher: str, student: str, settings: Settings) -> str | None:
    """A token of the student's that the teacher lacks, in quotes; None where there is none, or a model is not here."""
    try:
        folders = [resolve(reference, settings, None).folder for reference in (teacher, student)]
    except RetortError:
        return None
    return _lacking(*folders)


def obstacle(step: Distil, teacher: Path, student: Path, task: str) -> RetortError | None:
    """Why these two cannot be compared as the step says, or None.

    Args:
        teacher, student: their folders.
        task: what the student does.
    """
    lacking = None if step.by_text else _lacking(teacher, student)
    if lacking is None:
        return None
    if task == "causal" and not step.needs_teacher:
        if step.data.form == "text":
            return None  # it learns the teacher's texts
        return Impossible(
            f"The student has tokens that the teacher lacks ({lacking} is one), and each writes a conversation by a "
            "template of its own.",
            "Use 'form: text', or choose a student whose tokens the teacher has as well.",
        )
    cause = (
        f"The student has tokens that the teacher lacks ({lacking} is one), and these losses compare token by token."
    )
    return Impossible(cause, _ACROSS if task == "causal" else _SHARED)


def _lacking(teacher: Path, student: Path) -> str | None:
    theirs = _tokens_in(teacher) if teacher != student else frozenset()
    others = _tokens_in(student) - theirs if theirs else frozenset()
    return one_line(repr(min(others)), 40) if others else None


def _tokens_in(folder: Path) -> frozenset[str]:
    path = folder / "tokenizer.json"
    try:
        facts = path.stat()
        return _read_tokens(path, facts.st_mtime_ns, facts.st_size)
    except (OSError, ValueError, AttributeError, LookupError, TypeError):
        return frozenset()


@lru_cache(maxsize=8)
def _read_tokens(path: Path, changed: int, size: int) -> frozenset[str]:
    """Every token of a tokenizer.json."""
    found = load(read_bounded(path, _TOKENIZER_BYTES))
    vocabulary = found["model"]["vocab"]
    tokens = vocabulary if isinstance(vocabulary, dict) else (piece[0] for piece in vocabulary)
    return frozenset(map(str, tokens)) | {str(t["content"]) for t in found.get("added_tokens") or ()}
