"""Measures one candidate the same way as the baseline beside it: quality, size, latency, memory."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from transformers import PreTrainedModel

import core
from core.analysis.paired_times import paired_ratio
from core.base.integrity import seal, unseal
from core.base.progress import Reporter
from core.engine.data.framing import frame_for
from core.engine.data.inputs import Inputs, calibration_for
from core.engine.data.window_texts import placed_ids
from core.engine.evaluate.added import added_measurements
from core.engine.evaluate.baseline_predictions import BaselinePredictions
from core.engine.evaluate.perplexity import perplexity
from core.engine.measure.energy import energy_per_token
from core.engine.measure.latency import latency
from core.engine.measure.memory import peak_memory
from core.engine.measure.patience import Patience
from core.engine.measure.size import size_measurements
from core.engine.models.computed_as import attention_of, remarks_on
from core.engine.models.load import Loaded
from core.engine.models.roundtrip import ReloadProcess
from core.engine.models.save import save_model
from core.engine.models.source_target import inputs_of
from core.engine.prune.prune_report import PruneReport
from core.engine.run.quality import judge
from core.engine.run.shape import shape_of
from core.recipe.hooks import Hooks
from core.recipe.recipe import Latency, Recipe
from core.recipe.results import Result, RoundTrip, Trial
from core.registry.measurement import Measurement, find_metric
from core.registry.metrics import metric

_COMPARED_TOKENS = 32
BASELINE, CANDIDATE = "baseline", "candidate"
TIMED_ALONE = "Latency was measured without the baseline beside it: memory holds one model only."


@dataclass(frozen=True)
class MeasureSpec:
    """Which parts of the measurement a candidate gets."""

    quality: bool = True
    cost: bool = True


@dataclass
class CandidateMeasurer:
    """What stays the same between the candidates of a run.

    `dense` is the baseline model, for latencies interleaved with it; None where memory is too short
    for two models at once, and the figures then say so. `baseline` is its result once measured. `first` has, by
    metric, the first candidate that has it: what later ones are paired with where the baseline lacks the metric.
    `predictions` are the baseline's on the evaluation text, which a candidate's are compared with.
    `read` says what identifies the bytes of the model (under `model`) and of each text.
    """

    recipe: Recipe
    inputs: Inputs
    hooks: Hooks
    reporter: Reporter
    fresh: ReloadProcess
    dense: Loaded | None = None
    baseline: Result | None = None
    first: dict[str, tuple[str, Measurement]] = field(default_factory=dict)
    predictions: BaselinePredictions = field(default_factory=BaselinePredictions)
    patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        self.patience = Patience(self.hooks.settings.limits.quiet_seconds)

    read: dict[str, str] = field(default_factory=dict)

    def remember(self, result: Result) -> None:
        """Keeps what later candidates are compared with."""
        self.baseline = self.baseline or result
        for found in result.measurements:
            self.first.setdefault(found.metric, (result.label, found))

    def know(self, dense: Loaded) -> None:
        """Has the unchanged model read the evaluation text, where this process has not measured it as the baseline."""
        if self.predictions.asked is None and dense.task in ("causal", "masked", "seq2seq"):
            model, windows = dense.model, self.inputs.evaluation
            batch, tokenizer = self.recipe.evaluation.batch, dense.tokenizer
            perplexity(model, windows, batch, self.reporter, tokenizer=tokenizer, record=self.predictions)

    def candidate(
        self,
        trial: Trial,
        loaded: Loaded,
        report: PruneReport,
        keep: bool,
        wanted: MeasureSpec = MeasureSpec(),
        parent: str | None = None,
    ) -> Result:
        """Saves `loaded`, reloads it elsewhere, measures it, and says what was found.

        The saved model stays only with `keep`. Asks between the parts whether to stop.

        Raises:
            RetortError: it cannot be saved, reloaded or measured.
        """
        started = time.perf_counter()
        folder = self.hooks.candidate_folder(trial.key) / "model"
        result = self._blank(trial, loaded, report)
        result.parent = parent
        unseal(folder)
        save_model(loaded.model, loaded.tokenizer, folder, self._card(trial, report), flush=keep)
        if keep:
            seal(folder)
        try:
            self.reporter.checkpoint()
            if wanted.quality:
                result.measurements += self._quality(loaded, result)
            if wanted.cost:
                self.reporter.checkpoint()
                rounded = report.facts.get("zeros_before_rounding")
                result.measurements += size_measurements(loaded.model, folder, zeros_before_rounding=rounded)
                self.reporter.checkpoint()
                result.measurements += self._latency(trial, loaded, result)
            self.reporter.checkpoint()
            result.round_trip = self._round_trip(loaded, folder)
            result.measurements += _from_round_trip(result.round_trip, loaded)
        except BaseException:
            keep = False
            raise
        finally:
            if not keep:
                unseal(folder)
                shutil.rmtree(folder, ignore_errors=True)
        result.saved = keep
        result.seconds = time.perf_counter() - started
        return result

    def dense_candidate(self, trial: Trial, loaded: Loaded, wanted: MeasureSpec = MeasureSpec()) -> Result:
        """The model as it is, measured: the baseline every other candidate is compared with."""
        return self.candidate(trial, loaded, PruneReport(), keep=False, wanted=wanted)

    def _blank(self, trial: Trial, loaded: Loaded, report: PruneReport) -> Result:
        return Result(
            key=trial.key,
            label=trial.label,
            model=self.recipe.model,
            baseline=trial.dense,
            method=trial.method,
            prune=trial.prune.model_dump(mode="json") if trial.prune else None,
            distil=trial.distil.model_dump(mode="json") if trial.distil else None,
            quantise=trial.quantise.model_dump(mode="json") if trial.quantise else None,
            trim=trial.trim.model_dump(mode="json") if trial.trim else None,
            baseline_key=self.baseline.key if self.baseline else trial.key,
            facts={**shape_of(loaded.model), "attention": attention_of(loaded.model), **report.facts},
            notes=[*report.notes, *((*loaded.remarks, *remarks_on(loaded.model)) if trial.dense else ())],
            recipe=self.recipe.model_dump(mode="json"),
            versions=versions(),
            inputs=self.read,
        )

    def _card(self, trial: Trial, report: PruneReport) -> dict[str, Any]:
        """What the model card says about how the model was made."""
        step = trial.step
        return {
            "Name": trial.label,
            "Made from": self.recipe.model,
            "Made by": f"Retort {core.__version__}",
            "Step": step.model_dump(mode="json", exclude_defaults=True) if step else "none: the model as it was",
            "Method": trial.method,
            "Calibration": self.recipe.calibration.model_dump(mode="json"),
            "Remarks": " ".join(report.notes) or "none",
        }

    def _quality(self, loaded: Loaded, result: Result) -> list[Measurement]:
        dense = self.baseline.measurements if self.baseline else []
        found, notes = judge(
            loaded,
            self.recipe.evaluation,
            self.inputs,
            dense,
            self.hooks.settings,
            self.hooks.actor,
            self.reporter,
            self.first,
            record=self.predictions if result.baseline else None,
            against=None if result.baseline else self.predictions,
            per_byte=self.recipe.retokenises,
        )
        if not self.inputs.reads(loaded.tokenizer):
            result.notes += notes
            return found
        added, more = added_measurements(loaded, self.inputs.evaluation)
        result.notes += [*notes, *more]
        return [*found, *added]

    def _latency(self, trial: Trial, loaded: Loaded, result: Result) -> list[Measurement]:
        """The candidate's times and energy; the baseline's times, taken in turn with them, go into their settings."""
        if self.recipe.latency is None:
            return []
        models = {CANDIDATE: loaded.model}
        if self.dense is not None and not trial.dense:
            models = {BASELINE: self.dense.model, **models}
        elif not trial.dense:
            result.notes.append(TIMED_ALONE)
        times = timed(models, self.recipe.latency, self.reporter, self.patience)
        return [*times, *self._energy(loaded, find_metric(times, "decode_ms"))]

    def _energy(self, loaded: Loaded, decode: Measurement | None) -> list[Measurement]:
        """Of a model that writes tokens: counted, or estimated from the time of one."""
        if decode is None or self.recipe.latency is None:
            return []
        found = energy_per_token(loaded.model, decode, self.recipe.latency, self.reporter)
        return [found] if found is not None else []

    def _round_trip(self, loaded: Loaded, folder: Path) -> RoundTrip:
        ids = self._compared(loaded).to(loaded.model.device)  # (1, tokens)
        given = {name: value[:, :_COMPARED_TOKENS] for name, value in inputs_of(loaded.model, ids).items()}
        given.pop("attention_mask", None)
        with torch.inference_mode():
            out = loaded.model(**given)
        logits = out.logits if "logits" in out else out.last_hidden_state
        return self.fresh.check(folder, given["input_ids"], logits, decoder_input_ids=given.get("decoder_input_ids"))

    def _compared(self, loaded: Loaded) -> torch.Tensor:
        """The first window of the evaluation text, as this model cuts it; of an encoder-decoder's all its tokens."""
        if self.inputs.reads(loaded.tokenizer):
            return self.inputs.evaluation[:1]
        frame = frame_for(loaded.tokenizer, loaded.task, self.recipe.evaluation.start_token)
        ids, _ = placed_ids(self.inputs.texts()[0], loaded.tokenizer, frame.before)
        return torch.tensor([ids[:_COMPARED_TOKENS]])

    def calibration(self, loaded: Loaded) -> torch.Tensor | None:
        """The calibration windows, as this model cuts their text; None where no step is calibrated."""
        if self.inputs.calibration is None or self.inputs.reads(loaded.tokenizer):
            return self.inputs.calibration
        return calibration_for(self.recipe, loaded.tokenizer, loaded.task, self.hooks.settings, self.hooks.actor)


def timed(
    models: Mapping[str, PreTrainedModel], spec: Latency, reporter: Reporter, patience: Patience | None = None
) -> list[Measurement]:
    """Latency of the candidate of `models`, taken in turns with the baseline where there is one among them."""
    times = latency(models, spec, reporter, patience=patience)
    for found in times[CANDIDATE]:
        beside = find_metric(times.get(BASELINE, []), found.metric)
        if beside is not None:
            set_beside(found, beside)
    return times[CANDIDATE]


def set_beside(found: Measurement, baseline: Measurement) -> None:
    """A time says what the baseline took on the same machine, and the ratio of the two where they took turns."""
    found.settings |= {
        "baseline_value": baseline.value,
        "baseline_low": baseline.low,
        "baseline_high": baseline.high,
    }
    rounds = found.settings.get("rounds")
    if rounds and found.samples and baseline.samples:
        ratio = paired_ratio(found.samples, baseline.samples, rounds)
        found.settings["ratio"] = ratio.value
        if ratio.bounded:
            found.settings |= {"ratio_low": ratio.low, "ratio_high": ratio.high}


def _from_round_trip(trip: RoundTrip, loaded: Loaded) -> list[Measurement]:
    difference = metric("reload_difference")
    dtype = str(loaded.dtype).removeprefix("torch.")
    return [
        peak_memory(trip.peak_memory_bytes, dtype=dtype),
        Measurement(
            metric=difference.id,
            value=trip.max_logit_difference,
            unit=difference.unit,
            dtype=dtype,
            settings={"tokens": _COMPARED_TOKENS, "cached_equals_uncached": trip.cached_equals_uncached},
        ),
    ]


def versions() -> dict[str, str]:
    """The versions a figure depends on."""
    return {
        "retort": core.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "datasets": datasets.__version__,
        "python": platform.python_version(),
    }
