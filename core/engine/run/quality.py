"""The quality of one model, by whatever its kind can do: loss on text, tasks, and classes; paired with the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from core.analysis.statistics import mcnemar_exact, only_one
from core.base.errors import RetortError
from core.base.progress import Reporter
from core.base.roles import Actor
from core.base.settings import Settings
from core.catalogue.classifiers import unjudged
from core.catalogue.rights import refuse_remote_tasks
from core.catalogue.samples import is_fetched
from core.data.questions import questions_of
from core.engine.data.classification import load_labelled
from core.engine.data.corpora import open_rows
from core.engine.data.inputs import Inputs
from core.engine.evaluate.baseline_predictions import BaselinePredictions
from core.engine.evaluate.by_text import bits_per_byte, losses_by_text
from core.engine.evaluate.choice import choice_measurements
from core.engine.evaluate.classify import classification_measurements, limit_of
from core.engine.evaluate.harness import harness_measurements
from core.engine.evaluate.own import own_measurements
from core.engine.evaluate.paired_loss import loss_change
from core.engine.evaluate.perplexity import perplexity, safe_exp
from core.engine.evaluate.tasks.items import load_items
from core.engine.models.compatibility import class_names
from core.engine.models.load import Loaded
from core.recipe.recipe import Evaluation
from core.registry.formatting import show
from core.registry.measurement import Measurement, find_metric
from core.registry.samples import SAMPLES
from core.registry.tasks import TASK_SETS

StandIns = Mapping[str, tuple[str, Measurement]]
"""By metric: which candidate stands in for a baseline that lacks the metric, and its figure."""

DIVERGENCE_LEFT_OUT = "How far its predictions are from the original's was not measured: {}."
MASKED_OTHERWISE = (
    "Its loss was not measured: it cuts text into other tokens than the original, and how well it fills gaps of its "
    "own tokens cannot be compared."
)
UNJUDGED = "It has no head yet, so its quality was not measured: it neither predicts words nor tells classes apart."


def judge(
    loaded: Loaded,
    wanted: Evaluation,
    inputs: Inputs,
    baseline: Sequence[Measurement],
    settings: Settings,
    actor: Actor,
    reporter: Reporter,
    stand_ins: StandIns = MappingProxyType({}),
    record: BaselinePredictions | None = None,
    against: BaselinePredictions | None = None,
    per_byte: bool = False,
) -> tuple[list[Measurement], list[str]]:
    """Measures what this kind of model can be judged by; also sentences on what it cannot.

    Language models: perplexity, how far the predictions are `against` the baseline's (or their `record`, where
    this is the baseline), and with `wanted.tasks` accuracies. Classifiers: accuracy and F1 on
    `wanted.labelled`. Each accuracy says how it compares with the baseline's on the same items (McNemar); where the
    baseline has none, because it has no head yet, with that of the first candidate of the run that has one.

    A model with other tokens than the baseline's is asked for the same text, and its loss is per token of the
    baseline's. `per_byte` adds bits per byte, in which models with different tokens are compared.

    Raises:
        RetortError: the asked sets are missing, or the model's output is not a number.
    """
    if loaded.task == "encoder":
        return [], [UNJUDGED]
    if loaded.task == "classification":
        found, notes = _classes(loaded, wanted, settings, actor, reporter)
    else:
        found, notes = _text(loaded, wanted, inputs, reporter, record, against, baseline, per_byte)
        more, said = _accuracies(loaded, wanted, settings, actor, reporter)
        found, notes = [*found, *more], [*notes, *said]
    return _beside(found, baseline, stand_ins), notes


def _beside(found: Sequence[Measurement], baseline: Sequence[Measurement], stand_ins: StandIns) -> list[Measurement]:
    """The measurements with what they show against the baseline's: pairs of items, and the loss change."""
    out: list[Measurement] = []
    for m in found:
        out.append(with_pairs(m, baseline, stand_ins.get(m.metric)))
        dense = find_metric(baseline, m.metric)
        if m.metric == "loss" and dense is not None:
            out.append(loss_change(m, dense))
    return out


def _text(
    loaded: Loaded,
    wanted: Evaluation,
    inputs: Inputs,
    reporter: Reporter,
    record: BaselinePredictions | None,
    against: BaselinePredictions | None,
    baseline: Sequence[Measurement],
    per_byte: bool,
) -> tuple[list[Measurement], list[str]]:
    """Perplexity, and the distance to the baseline's predictions, or why there is none."""
    if not inputs.reads(loaded.tokenizer):
        return _other_tokens(loaded, wanted, inputs, baseline, reporter)
    found = perplexity(
        loaded.model,
        inputs.evaluation,
        wanted.batch,
        reporter,
        settings=inputs.settings,
        tokenizer=loaded.tokenizer,
        record=record,
        against=against,
    )
    loss = find_metric(found, "loss")
    if per_byte and loaded.task == "causal" and loss is not None:
        found.append(bits_per_byte(loss, inputs.texts()))
    return found, [DIVERGENCE_LEFT_OUT.format(against.left_out)] if against is not None and against.left_out else []


def _other_tokens(
    loaded: Loaded, wanted: Evaluation, inputs: Inputs, baseline: Sequence[Measurement], reporter: Reporter
) -> tuple[list[Measurement], list[str]]:
    """The loss of the same text, in the original's unit."""
    dense = find_metric(baseline, "loss")
    if loaded.task != "causal" or dense is None:
        return [], [MASKED_OTHERWISE]
    told = {**dense.settings, "batch": 1}
    found, own = losses_by_text(loaded, inputs, wanted.start_token, told, reporter)
    loss = find_metric(found, "loss")
    assert loss is not None
    asked = int(told["predicted_tokens"])
    per_own = loss.value * asked / own
    return found, [
        f"It cuts text into other tokens than the original: {own:,} where that takes {asked:,}. So perplexity and loss "
        "are those of the same text for each token of the original; for each of its own they would be "
        f"{show('perplexity', safe_exp(per_own))} and {show('loss', per_own)}, which is another unit.",
        DIVERGENCE_LEFT_OUT.format("it gives probabilities to other tokens"),
    ]


def _accuracies(
    loaded: Loaded, wanted: Evaluation, settings: Settings, actor: Actor, reporter: Reporter
) -> tuple[list[Measurement], list[str]]:
    if (wanted.tasks or wanted.own_tasks) and loaded.task != "causal":
        return [], ["Tasks were left out: only a model that continues a text can answer them."]
    found = _tasks(loaded, wanted, settings, actor, reporter) if wanted.tasks else []
    notes: list[str] = []
    for task in wanted.own_tasks:
        rows = open_rows(task.data, task.split or "test", settings, actor)
        more, said = own_measurements(loaded, task, questions_of(rows, task), wanted.items, wanted.batch, reporter)
        found, notes = [*found, *more], [*notes, *said]
    return found, notes


def _tasks(
    loaded: Loaded, wanted: Evaluation, settings: Settings, actor: Actor, reporter: Reporter
) -> list[Measurement]:
    sets = _sets(settings)
    if wanted.scorer == "lm-eval":
        refuse_remote_tasks(wanted.model_dump(), settings, actor)
        return harness_measurements(
            loaded.model, loaded.tokenizer, wanted.tasks, wanted.items, wanted.batch, reporter, sets
        )
    found: list[Measurement] = []
    for task in (TASK_SETS[name] for name in wanted.tasks):
        if sets is None and not task.brought:
            raise RetortError("The evaluation sets are not on this machine.", "Run 'python -m core fetch tasks'.")
        items = load_items(task, sets or Path(), wanted.items)
        found += choice_measurements(loaded.model, loaded.tokenizer, task, items, wanted.batch, reporter)
    return found


def _sets(settings: Settings) -> Path | None:
    sample = SAMPLES["tasks"]
    return sample.folder(settings) if is_fetched(sample, settings) else None


def _classes(
    loaded: Loaded, wanted: Evaluation, settings: Settings, actor: Actor, reporter: Reporter
) -> tuple[list[Measurement], list[str]]:
    reason = unjudged(loaded.model.config.to_dict())
    if reason is not None:
        return [], [f"Its quality was not measured: {reason}."]
    if wanted.labelled is None:
        return [], ["Its accuracy was not measured: the recipe names no 'evaluation.labelled' set."]
    names = class_names(loaded.model)
    data = load_labelled(wanted.labelled.source, settings, actor, names).first(wanted.labelled.items)
    limit = limit_of(loaded.model, loaded.tokenizer)
    notes = data.remarks(loaded.tokenizer, limit)
    said = {"corpus": wanted.labelled.data, "content": data.digest, **wanted.labelled.reading}
    return classification_measurements(
        loaded.model,
        loaded.tokenizer,
        data.texts,
        data.labels,
        4 * wanted.batch,
        reporter,
        settings=said,
        pairs=data.pairs,
    ), notes


def with_pairs(
    measured: Measurement, baseline: Sequence[Measurement], stand_in: tuple[str, Measurement] | None = None
) -> Measurement:
    """An accuracy with McNemar's exact test against the baseline on the same items, in `settings["paired"]`.

    Against `stand_in` (its label and figure) where the baseline lacks the metric; `paired` then names it.
    """
    dense = find_metric(baseline, measured.metric)
    against: dict[str, object] = {}
    if dense is None and stand_in is not None:
        dense = stand_in[1]
        against = {"against": stand_in[0], "against_value": dense.value}
    mine = measured.samples
    if not measured.metric.startswith("accuracy") or dense is None or dense.samples is None or mine is None:
        return measured
    if len(mine) != len(dense.samples):
        return measured
    only_mine, only_dense = only_one(mine, dense.samples)
    paired = {
        "test": "McNemar, exact, two-sided",
        "p": mcnemar_exact(only_mine, only_dense),
        "only_baseline_right": only_dense,
        "only_candidate_right": only_mine,
        **against,
    }
    return measured.model_copy(update={"settings": {**measured.settings, "paired": paired}})
