"""Texts labelled by a causal language model, as soft labels that a classifier learns from.

The probability of a class is how likely the model finds the class's words after the prompt, among the classes asked
for. Calibrated, it is divided by what the model says where the text has no content (Zhao et al. 2021, contextual
calibration, with its three contents: 'N/A', '[MASK]' and nothing), and made to sum to 1 again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from core.base.durable_files import make_folder
from core.base.errors import Impossible, RetortError
from core.base.integrity import damage, write_sealed
from core.base.progress import Reporter
from core.engine.distil.batches import SoftLabelled
from core.engine.distil.texts import labelled
from core.engine.evaluate.choice import option_scores
from core.engine.evaluate.tasks.items import Item
from core.engine.models.compatibility import class_names
from core.engine.models.context import padding_of
from core.engine.models.load import Loaded
from core.recipe.distil import Distil
from core.recipe.labelling import Labelling, not_a_labeller
from core.recipe.trial_keys import hashed
from core.registry.formatting import percent

CONTENT_FREE = ("N/A", "[MASK]", "")
_BATCH = 16


def soft_labelled(
    texts: Sequence[str],
    gold: Sequence[str] | None,
    spec: Distil,
    teacher: Loaded,
    identity: str,
    student: Loaded,
    folder: Path,
    reporter: Reporter,
    say: Callable[[str], None],
) -> SoftLabelled:
    """The texts in the student's tokens, with the teacher's probability of each of the student's classes.

    Args:
        gold: the class the data itself gives each text, where it does; nothing learns from it.
        identity: what identifies the teacher.
        folder: where the teacher's scores are kept, so that they are computed once.
        say: told in a sentence what the teacher said, and what was left out.

    Raises:
        Impossible: the teacher does not continue texts, or the student's classes are others.
        RetortError: the teacher is sure enough of too few texts.
    """
    how = spec.labelling
    assert how is not None
    if (refusal := not_a_labeller(teacher.task)) is not None:
        raise refusal
    names = class_names(student.model)
    if sorted(names) != sorted(how.classes):
        raise Impossible(
            f"The student knows the classes {', '.join(names[:8])}, and the teacher is asked for "
            f"{', '.join(list(how.classes)[:8])}.",
            "Name the same classes in 'labelling', or take a student without classes.",
        )
    scores = _scores(texts, how, spec.data.length, teacher, identity, folder, reporter)
    log_p = class_log_probabilities(scores[: -len(CONTENT_FREE)], scores[-len(CONTENT_FREE) :], how.calibrated)
    log_p = log_p[:, [list(how.classes).index(name) for name in names]]
    sure = log_p.exp().amax(1) >= how.least
    kept = sure.nonzero()[:, 0].tolist()
    answers = [names[i] for i in log_p.argmax(1).tolist()]
    _tell(answers, kept, gold, how, say)
    if len(kept) <= spec.held_out:
        raise RetortError(
            f"The teacher is sure enough (at least {percent(how.least)}) of {len(kept):,} of {len(texts):,} texts, and "
            f"{spec.held_out} are held out.",
            "Lower 'least' or 'held_out', write a clearer prompt, or bring more texts.",
        )
    rows = labelled(
        [texts[i] for i in kept],
        [answers[i] for i in kept],
        names,
        student.tokenizer,
        spec.data.length,
        padding_of(student.model.config),
    )
    return SoftLabelled(rows.sequences, rows.labels, rows.padding, log_p[kept].float())


def class_log_probabilities(scores: Tensor, free: Tensor, calibrated: bool) -> Tensor:
    """Log-probabilities of the classes `(texts, classes)` from log-likelihoods of their words.

    `free`: `(inputs, classes)` the same for texts without content, whose probabilities are averaged.
    """
    log_p = scores.log_softmax(1)
    return (log_p - free.softmax(1).mean(0).log()).log_softmax(1) if calibrated else log_p


@torch.no_grad()
def agreement(student: Loaded, examples: SoftLabelled, count: int, batch: int) -> float:
    """The share (0 to 1) of the first `count` texts to which the student gives its teacher's class."""
    agreed = 0
    for start in range(0, count, batch):
        part = examples.take(range(start, min(start + batch, count)), 0).to(student.model.device)
        logits = student.model(input_ids=part.ids, attention_mask=part.attended.long()).logits
        agreed += int((logits.argmax(-1) == part.targets[:, 0]).sum())
    return agreed / count


def _scores(
    texts: Sequence[str],
    how: Labelling,
    length: int,
    teacher: Loaded,
    identity: str,
    folder: Path,
    reporter: Reporter,
) -> Tensor:
    """`(texts and content-free inputs, classes)` log-likelihoods in nats, from an earlier run or from the teacher."""
    asked = [how.prompt, list(how.continuations()), length, list(CONTENT_FREE), list(texts)]
    path = folder / f"{hashed([identity, asked])}.json"
    wrong = damage(path)
    if wrong is not None:
        reporter.event("warning", f"The teacher's stored labels are damaged ({wrong}): they are made again.")
    elif path.is_file():
        return torch.tensor(json.loads(path.read_text("utf-8")), dtype=torch.float64)
    reporter.progress(0, 1, f"The teacher labels {len(texts):,} texts.")
    items = [_item(_cut(text, teacher, length), how) for text in (*texts, *CONTENT_FREE)]
    scores = option_scores(teacher.model, teacher.tokenizer, items, _BATCH, reporter)
    make_folder(folder)
    write_sealed(path, json.dumps(scores))
    return torch.tensor(scores, dtype=torch.float64)


def _item(text: str, how: Labelling) -> Item:
    words = how.continuations()
    return Item((how.filled(text),) * len(words), words, tuple(map(len, words)), 0)


def _cut(text: str, teacher: Loaded, length: int) -> str:
    """The text, no longer than `length` of the teacher's tokens: the student reads no more of it either."""
    ids = teacher.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return text if len(ids) <= length else str(teacher.tokenizer.decode(ids[:length]))


def _tell(
    answers: Sequence[str], kept: Sequence[int], gold: Sequence[str] | None, how: Labelling, say: Callable[[str], None]
) -> None:
    counts = Counter(answers)
    shares = ", ".join(f"{name} {percent(counts[name] / len(answers))}" for name in how.classes)
    say(f"The teacher labelled {len(answers):,} texts: {shares}.")
    if len(kept) < len(answers):
        left = len(answers) - len(kept)
        say(f"{left:,} of {len(answers):,} texts are left out: the teacher is less than {percent(how.least)} sure.")
    if gold is not None and kept:
        right = sum(gold[i].lower() == answers[i].lower() for i in kept)
        say(
            f"The data itself labels these texts, which nothing learns from: the teacher is right on {right:,} of "
            f"{len(kept):,} ({percent(right / len(kept), 1)})."
        )
