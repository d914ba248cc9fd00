"""A trim step of a recipe: reads the texts it names, trims the model, and hands back a candidate."""

from __future__ import annotations

from pathlib import Path

from core.base.progress import Reporter
from core.engine.data.corpora import load_texts
from core.engine.models.load import Loaded, load_model
from core.engine.prune.prune_report import PruneReport
from core.engine.run.candidate import CandidateMeasurer
from core.engine.trim.vocabulary import Wish, trim
from core.recipe.trim import Trim


def trim_step(folder: Path, spec: Trim, bench: CandidateMeasurer, reporter: Reporter) -> tuple[Loaded, PruneReport]:
    """The trimmed model, and what is to be said about it.

    Raises:
        RetortError: a text cannot be read, or the vocabulary cannot be trimmed.
    """
    settings, actor = bench.hooks.settings, bench.hooks.actor
    loaded = load_model(folder, bench.recipe.dtype)
    reporter.progress(0, 1, "Reading the texts whose tokens stay.")
    texts = [text for one in spec.texts for text in load_texts(one, settings, actor, loaded.tokenizer)]
    reporter.checkpoint()
    judged = bench.inputs.tokenizer.batch_decode(bench.inputs.evaluation, skip_special_tokens=True)
    trimmed, report = trim(loaded, Wish(texts, spec.floor, spec.named), judged, settings.cache)
    return trimmed, report
