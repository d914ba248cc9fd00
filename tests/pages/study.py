"""A finished study written through the store, for tests of the pages. The figures are invented; the shape is real."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.recipe.recipe import Recipe
from core.recipe.results import Result, Trial
from core.recipe.trial_keys import Identity, trials_of
from core.registry.measurement import Measurement
from core.registry.metrics import METRICS
from core.store import Store

LOSS = {"magnitude": (0.08, 0.44, 3.05, 5.2), "wanda": (0.03, 0.12, 0.42, 1.9), "block_influence": (0.33, 0.69, 1.12)}
DENSE_LOSS = 3.375


def recipe(name: str = "Sample study", model: str = "sample:smollm2-135m", **parts: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": name,
            "model": model,
            "sweep": {
                "grid": [
                    {"method": ["magnitude", "wanda"], "sparsity": [0.2, 0.3, 0.5, 0.6]},
                    {"method": "block_influence", "target": [{"remove_layers": n} for n in (2, 4, 6)]},
                ]
            },
            **parts,
        }
    )


def _timed(metric: str, dense: float, share: float, baseline: bool) -> Measurement:
    """A time, taken in turns with the dense model unless it is that itself; its interval is 3 % to both sides."""
    value = dense * share
    beside = (
        {}
        if baseline
        else {
            "baseline_value": dense,
            "ratio": share,
            "ratio_low": share * 0.97,
            "ratio_high": share * 1.03,
        }
    )
    return Measurement(
        metric=metric,
        value=value,
        unit="ms",
        low=value * 0.965,
        high=value * 1.09,
        device="cpu",
        dtype="bfloat16",
        settings=beside,
    )


def _measured(metric: str, value: float, low: float | None = None, high: float | None = None) -> Measurement:
    return Measurement(
        metric=metric, value=value, unit=METRICS[metric].unit, low=low, high=high, device="cpu", dtype="bfloat16"
    )


def result(trial: Trial, of: Recipe, loss: float, left: float, baseline_key: str) -> Result:
    """A candidate with `left` of the dense size and time, whose loss per token is `loss`."""
    prune = trial.prune
    perplexity = 2.718281828**loss
    windows = [loss + 0.25 * ((i * 7) % 16 - 7.5) / 7.5 for i in range(16)]
    wobble = 1.0 + 0.004 * (trial.index % 5 - 2)
    found = [
        Measurement(
            metric="loss",
            value=loss,
            unit="nats",
            low=loss - 0.08,
            high=loss + 0.08,
            samples=windows,
            dtype="bfloat16",
            settings={"samples": "mean loss of each window"},
        ),
        _measured("perplexity", perplexity, perplexity * 0.923, perplexity * 1.083),
        _measured("loss_change", loss - DENSE_LOSS, loss - DENSE_LOSS - 0.02, loss - DENSE_LOSS + 0.02),
        _measured("parameters", 134_515_008 * left),
        _measured("disk_bytes", 271_800_000 * left),
        _measured("memory_bytes", 269_030_016 * left),
        _timed("prefill_ms", 128.0, left * wobble, prune is None),
        _timed("decode_ms", 33.8, left * wobble, prune is None),
    ]
    if prune is not None and prune.target is None:
        found.append(_measured("sparsity_pruned", 100 * prune.nominal))
    return Result(
        key=trial.key,
        label=trial.label,
        model=of.model,
        method=prune.method if prune else "dense",
        prune=prune.model_dump(mode="json") if prune else None,
        baseline=prune is None,
        baseline_key=baseline_key,
        measurements=found,
        recipe=of.model_dump(mode="json"),
        seconds=9.5,
    )


def results(of: Recipe) -> list[tuple[Trial, Result]]:
    """Every trial of the recipe with its result."""
    trials = trials_of(of, Identity("fingerprint-of-the-tests"))
    done: list[tuple[Trial, Result]] = []
    seen = dict.fromkeys(LOSS, 0)
    for trial in trials:
        loss, left = DENSE_LOSS, 1.0
        if trial.prune is not None:
            method = trial.prune.method
            loss += LOSS[method][seen[method]]
            seen[method] += 1
            if trial.prune.target is not None:
                left = 1.0 - 0.0265 * (trial.prune.target.remove_layers or 0)
        done.append((trial, result(trial, of, loss, left, trials[0].key)))
    return done


def finished_study(settings: Settings, name: str = "Sample study", failed: int = 0, **fields: Any) -> str:
    """A run whose trials are done, the last `failed` of them failed; returns its id."""
    store, of = Store(settings), recipe(name, **fields)
    run_id = store.runs.add(of.kind, of.name, of.model, of.model_dump(mode="json"), LOCAL)
    store.runs.claim(run_id)
    done = results(of)
    store.trials.add(run_id, [t for t, _ in done])
    for i, (trial, found) in enumerate(done):
        store.trials.start(run_id, trial.index)
        if i >= len(done) - failed:
            store.trials.fail(run_id, trial.index, "The weights of layer 3 are not finite.", "Use another model file.")
        else:
            store.candidates.add(found)
            store.trials.finish(run_id, trial.index)
    store.events.add(run_id, "info", "Calibrated once on 16,384 tokens for 7 trials.")
    store.runs.progress(run_id, len(done), len(done), "")
    store.runs.finish(run_id, "done")
    return run_id


def failed_run(settings: Settings, name: str = "Broken study") -> str:
    store, of = Store(settings), recipe(name, model="path:/models/missing")
    run_id = store.runs.add(of.kind, of.name, of.model, of.model_dump(mode="json"), LOCAL)
    store.runs.claim(run_id)
    store.runs.finish(
        run_id, "failed", cause="There is no folder '/models/missing'.", remedy="Choose a folder under RETORT_ROOTS."
    )
    return run_id


def kept_study(settings: Settings, dense: Path) -> dict[str, str]:
    """A run over a copy of this model, of which two candidates `a` and `b` are kept, with weights of their own.

    Returns its parts by name: `run` and the references `dense`, keys `a`, `b`, and `unsaved`.
    """
    store, folder = Store(settings), settings.home / "models" / dense.name
    shutil.copytree(dense, folder)
    of = recipe(model=f"path:{folder}")
    run_id = store.runs.add(of.kind, of.name, of.model, of.model_dump(mode="json"), LOCAL)
    done = results(of)
    store.trials.add(run_id, [t for t, _ in done])
    kept: list[str] = []
    for place, (_, found) in enumerate(done):
        found = found.model_copy(update={"saved": place in (1, 2)})
        store.candidates.add(found)
        if found.saved:
            _other_weights(dense, store.candidates.folder(found.key) / "model", place)
            kept.append(found.key)
    store.runs.claim(run_id)
    store.runs.progress(run_id, len(done), len(done), "")
    store.runs.finish(run_id, "done")
    unsaved = next(r for _, r in done[3:])
    return {"run": run_id, "dense": of.model, "a": kept[0], "b": kept[1], "unsaved": unsaved.key}


def _other_weights(dense: Path, folder: Path, seed: int) -> None:
    """The model with weights that make it really differ."""
    import torch
    from transformers import AutoModelForCausalLM

    shutil.copytree(dense, folder)
    model = AutoModelForCausalLM.from_pretrained(str(folder))
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.3)
    model.save_pretrained(str(folder))
