"""Prune, distil, evaluate, measure and export: each makes the recipe a page would make, and runs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.api.results import Home, settings_of
from core.api.running import finished, run
from core.base.errors import RetortError
from core.base.text import one_line
from core.registry.methods import METHODS

if TYPE_CHECKING:
    import pandas as pd


def prune(
    model: str,
    method: str,
    *,
    sparsity: float | Sequence[float] = (),
    target: Mapping[str, object] | Sequence[Mapping[str, object]] = (),
    home: Home = None,
    job: bool = False,
    keep: str = "all",
    grid: Mapping[str, object] | None = None,
    **recipe: object,
) -> pd.DataFrame:
    """Prunes a model, once for each amount, from one calibration; measures each result beside the dense model.

    Args:
        model: a reference: `sample:NAME`, `path:/folder`, `hub:org/name@revision`, `run:ID/KEY`.
        method: an id of `core.registry.methods` (docs/methods.md); the source of each stands there.
        sparsity: share of weights to zero, 0 up to but not including 1; for methods that zero weights.
        target: what a structured method removes: `{"remove_layers": 2}`, `{"block_fraction": 0.25}`, ...
        keep: `all`, `structured` or `none`: which of the models stay on disk.
        grid: more of `core.recipe.recipe.Grid`: `pattern`, `mode`, `allocation`, `protect`, `parts`, `seeds`.
        recipe: more of the recipe: `calibration`, `evaluation`, `latency` (None: not timed), `dtype`, `seed`.

    Returns:
        As `results`.

    Raises:
        RetortError: as `run`.
    """
    amounts = {"sparsity": _several(sparsity), "target": _several(target)}
    one = {"method": [method], **{k: v for k, v in amounts.items() if v}, **(grid or {})}
    known = METHODS.get(method)
    name = f"{known.label if known else method} of {model}"
    return _run(name, model, home, job, recipe, sweep={"grid": [one], "keep": keep})


def distil(
    model: str,
    *,
    losses: Mapping[str, float] | str = "logit_kl",
    budget: Mapping[str, object] | None = None,
    data: Mapping[str, object] | None = None,
    home: Home = None,
    job: bool = False,
    step: Mapping[str, object] | None = None,
    **recipe: object,
) -> pd.DataFrame:
    """Trains a student on a teacher and measures it beside the dense model.

    Args:
        model: the reference of the teacher, and of the student where `step` names no other.
        losses: an id of `core.registry.losses`, or ids with their weights. `cross_entropy` alone is fine-tuning.
        budget: `{"steps": N}`, `{"tokens": N}` or `{"minutes": N}`; 200 steps where it is left out.
        data: as `core.recipe.distil_parts.TrainingData`: `{"data": "path:/text.txt", "split": None, "length": 512}`.
        step: more of `core.recipe.distil.Distil`: `student`, `teacher`, `design`, `batch`, `schedule`, `lora`, ...
        recipe: more of the recipe, as for `prune`.

    Returns:
        As `results`: the dense model, then the student.

    Raises:
        RetortError: as `run`.
    """
    mix = {losses: 1.0} if isinstance(losses, str) else losses
    lesson: dict[str, object] = {"step": "distil", "losses": [{"loss": k, "weight": float(w)} for k, w in mix.items()]}
    lesson |= {k: v for k, v in (("budget", budget), ("data", data)) if v is not None}
    steps = [{**lesson, **(step or {})}, {"step": "evaluate"}, {"step": "measure"}]
    return _run(f"Student of {model}", model, home, job, recipe, steps=steps)


def evaluate(model: str, *, home: Home = None, job: bool = False, **recipe: object) -> pd.DataFrame:
    """The quality of a model as it is: perplexity and loss (nats per token), and what `evaluation` names besides.

    Args:
        recipe: more of the recipe: `evaluation={"tasks": ["piqa"], "items": 100}`, `dtype`, ...

    Returns:
        As `results`, one row.

    Raises:
        RetortError: as `run`.
    """
    return _run(f"Quality of {model}", model, home, job, recipe, steps=[{"step": "evaluate"}])


def measure(model: str, *, home: Home = None, job: bool = False, **recipe: object) -> pd.DataFrame:
    """Size (bytes), parameters, memory (bytes) and latency (milliseconds) of a model as it is.

    Args:
        recipe: more of the recipe: `latency={"prompt": 128, "new_tokens": 16, "repeats": 5}`, `dtype`, ...

    Returns:
        As `results`, one row.

    Raises:
        RetortError: as `run`.
    """
    return _run(f"Cost of {model}", model, home, job, recipe, steps=[{"step": "measure"}])


def export(model: str, format: str = "huggingface", *, home: Home = None, job: bool = False, **recipe: object) -> Path:
    """Writes a model in a format of `core.registry.formats`; it is compared with the model before it counts.

    Returns:
        The folder it lies in.

    Raises:
        RetortError: the format cannot hold this model, or as `run`.
    """
    document = _document(f"{format} of {model}", model, recipe, steps=[{"step": "export", "format": format}])
    done = finished(document, home=home, job=job)
    written = sorted((settings_of(home).run_folder(done.id) / "exports").glob(f"*-{format}"))
    if not written:
        raise RetortError(f"'{done.name}' wrote no export.", "Look at the run on the Runs page.")
    return written[-1]


def _run(name: str, model: str, home: Home, job: bool, recipe: Mapping[str, object], **what: object) -> pd.DataFrame:
    return run(_document(name, model, recipe, **what), home=home, job=job)


def _document(name: str, model: str, recipe: Mapping[str, object], **what: object) -> dict[str, object]:
    return {"name": one_line(name, 120), "model": model, **what, **recipe}


def _several(value: object) -> list[object]:
    """One or many as a list."""
    if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
        return list(value)
    return [value]
