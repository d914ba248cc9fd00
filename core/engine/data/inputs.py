"""The windows of text a run calibrates and evaluates on, checked against each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from core.base.errors import Impossible, RetortError
from core.base.progress import Reporter
from core.base.roles import Actor
from core.base.settings import Settings
from core.catalogue.kinds import Task
from core.engine.data.corpora import Say, load_texts
from core.engine.data.framing import frame_for, spoken
from core.engine.data.pairs import load_pairs, pair_windows
from core.engine.data.window_texts import WindowText, window_texts
from core.engine.data.windows import calibration_windows, digest_of, evaluation_windows, overlap
from core.recipe.recipe import Recipe
from core.registry.formatting import percent

_REFUSED_OVERLAP = 0.05
PLACE = "evenly over the text, which intervals are about"
"""Where windows lie; what intervals say goes for that text, not for others."""
PAIRED = "the prompt of each pair; its completion is the target"
SPLIT = "the first half of each window; the second half is the target"


@dataclass(frozen=True)
class Inputs:
    """Token windows, and what a figure must say about them."""

    calibration: torch.Tensor | None  # (sequences, length), None where no step is calibrated
    evaluation: torch.Tensor  # (windows, window)
    settings: dict[str, Any]  # corpus, split, window, tokens of the evaluation
    tokenizer: Any = None  # whose tokens these are
    before: int = 0  # start tokens of each evaluation window

    def reads(self, tokenizer: Any) -> bool:
        """Whether these tokens mean the same to a model with this tokenizer."""
        if self.tokenizer is None or tokenizer is self.tokenizer:
            return True
        same: bool = tokenizer.get_vocab() == self.tokenizer.get_vocab()
        return same

    def texts(self) -> list[WindowText]:
        """The text of each evaluation window."""
        return window_texts(self.evaluation, self.tokenizer, self.before)


def prepare(
    recipe: Recipe,
    tokenizer: Any,
    task: Task,
    context: int | None,
    settings: Settings,
    actor: Actor,
    reporter: Reporter,
    calibrated: bool,
) -> Inputs:
    """Loads and tokenises the recipe's texts for a model that does `task` and reads `context` tokens at most.

    Raises:
        RetortError: a text is missing, empty or too short; a window exceeds the model's context; the
            calibration text overlaps the evaluation text.
    """
    evaluation, calibration = recipe.evaluation, recipe.calibration
    _fits(evaluation.window, context, "evaluation.window")
    frame = frame_for(tokenizer, task, evaluation.start_token)
    say = partial(reporter.event, "info")
    pairs = load_pairs(evaluation, settings, actor, say) if task == "seq2seq" else []
    if pairs:
        count = max(1, evaluation.tokens // evaluation.window)
        eval_windows = pair_windows(pairs, tokenizer, count, evaluation.window, say)
    else:
        texts = load_texts(evaluation, settings, actor, tokenizer, say)
        eval_windows = evaluation_windows(texts, tokenizer, evaluation.tokens, evaluation.window, frame)
    cal_windows = None
    if calibrated:
        _fits(calibration.length, context, "calibration.length")
        cal_windows = calibration_for(recipe, tokenizer, task, settings, actor, say)
        read = (tokenizer.batch_decode(w, skip_special_tokens=bool(pairs)) for w in (eval_windows, cal_windows))
        shared = overlap(*read)
        refuse_overlap(shared, "the calibration text", reporter)
    said = {
        "corpus": evaluation.data,
        "split": evaluation.split,
        "window": evaluation.window,
        "tokens": int(eval_windows.numel()),
        "place": PLACE,
        "start_token": evaluation.start_token,
        "begins": spoken(tokenizer, frame),
        "content": digest_of(eval_windows)[:16],
        **({"source": PAIRED if pairs else SPLIT} if task == "seq2seq" else {}),
    }
    return Inputs(cal_windows, eval_windows, said, tokenizer, len(frame.before))


def calibration_for(
    recipe: Recipe, tokenizer: Any, task: Task, settings: Settings, actor: Actor, say: Say = lambda text: None
) -> torch.Tensor:
    """The recipe's calibration windows in the tokens of a tokenizer, `(sequences, length)`.

    Raises:
        RetortError: a text is missing, empty or too short.
    """
    spec = recipe.calibration
    frame = frame_for(tokenizer, task, spec.start_token)
    if task == "seq2seq" and (pairs := load_pairs(spec, settings, actor, say)):
        return pair_windows(pairs, tokenizer, spec.sequences, spec.length, say, spec.seed)
    texts = load_texts(spec, settings, actor, tokenizer, say)
    return calibration_windows(texts, tokenizer, spec.sequences, spec.length, spec.seed, frame)


def _fits(length: int, context: int | None, name: str) -> None:
    if context is not None and length > context:
        raise Impossible(
            f"The recipe asks for {length} tokens at a time ({name}), but this model reads at most {context}.",
            f"Set {name} to {context} or less.",
        )


def refuse_overlap(shared: float, where: str, reporter: Reporter) -> None:
    """A model that has seen the text it is judged by looks better than it is.

    Args:
        shared: the share (0 to 1) of the evaluation text that stands there too.

    Raises:
        RetortError: it is more than a twentieth; less is said.
    """
    if shared > _REFUSED_OVERLAP:
        raise RetortError(
            f"{percent(shared)} of the evaluation text also stands in {where}, so the figures would flatter.",
            "Choose another split or another text for one of the two.",
        )
    if shared > 0:
        reporter.event("warning", f"{percent(shared, 1)} of the evaluation text also stands in {where}.")
