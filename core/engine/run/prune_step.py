"""One pruning step on a loaded model: what sweeps and recipes share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch

from core.analysis.sensitivity import find
from core.base.errors import RetortError
from core.base.progress import Reporter
from core.base.settings import Settings
from core.engine.data.windows import digest_of
from core.engine.models.load import Loaded
from core.engine.prune.allocation import Curves
from core.engine.prune.apply import prune_weights
from core.engine.prune.prune_report import PruneReport
from core.engine.prune.search_work import SearchWork
from core.engine.prune.sequential import prune_sequential
from core.engine.prune.statistics import Statistics, collect, weight_observers
from core.engine.prune.structured import prune_structure, structure_observers
from core.recipe.recipe import Prune
from core.recipe.results import ENGINE_REVISION
from core.recipe.trial_keys import hashed, library_versions
from core.registry.formatting import percent
from core.registry.methods import METHODS, Statistic


@dataclass(frozen=True)
class Source:
    """The dense model a step starts from.

    Attributes:
        loaded: the model; weight methods change it in place.
        fingerprint: identifies its bytes.
        windows: calibration windows (sequences, length), None where nothing is calibrated.
    """

    loaded: Loaded
    fingerprint: str
    windows: torch.Tensor | None


def needed(prunes: Iterable[Prune]) -> frozenset[Statistic]:
    """The statistics of the dense model that these steps read (sequential ones gather their own)."""
    wanted: set[Statistic] = set()
    for prune in prunes:
        if prune.mode == "joint" or METHODS[prune.method].structured:
            wanted |= METHODS[prune.method].needs
        if prune.allocation == "owl":
            wanted.add("input_norms")
    return frozenset(wanted)


def statistics_for(
    source: Source, needs: frozenset[Statistic], settings: Settings, reporter: Reporter
) -> Statistics | None:
    """The statistics of one calibration pass, from the cache where the same pass was made before.

    The same pass: the same model bytes read the same tokens, whatever text they came from, in the same dtype.
    """
    if not needs or source.windows is None:
        return None
    name = hashed(
        [ENGINE_REVISION, library_versions(), source.fingerprint, str(source.loaded.dtype), digest_of(source.windows)]
    )
    model = source.loaded.model
    observers = [*weight_observers(model, needs, reporter), *structure_observers(model, needs)]
    folder = settings.cache / "statistics" / name
    return collect(model, source.windows, observers, reporter, folder=folder)


def apply(
    source: Source,
    prune: Prune,
    statistics: Statistics | None,
    reporter: Reporter,
    settings: Settings | None = None,
) -> tuple[Loaded, PruneReport]:
    """The pruned model. Weight methods change `source.loaded` itself (see `restore_dense`), structured ones do not.

    `settings` say where measured sensitivities lie, for an allocation that needs one, and where a search goes on.

    Raises:
        RetortError: the method cannot be applied to this model.
    """
    loaded = source.loaded
    if METHODS[prune.method].structured:
        work = search_work(source, prune, settings)
        model, report = prune_structure(loaded, prune, statistics, source.windows, reporter, work)
        return replace(loaded, model=model), report
    measured = curves_for(prune, source.fingerprint, settings)
    curves = measured[1] if measured else None
    if prune.mode == "sequential" and source.windows is not None and METHODS[prune.method].calibrated:
        report = prune_sequential(loaded.model, prune, source.windows, reporter, statistics=statistics, curves=curves)
    else:
        report = prune_weights(loaded.model, prune, statistics, reporter, curves)
    if measured:
        report.facts["sensitivity"] = measured[0]
        report.note(f"The sparsity was spread by the sensitivity measured as {measured[0]}.")
    return loaded, report


def search_work(source: Source, prune: Prune, settings: Settings | None) -> SearchWork | None:
    """Where a search for a shape keeps healed parts, for every search of this model and text, and its own judgements.

    An interrupted search finds both again and goes on. None for a method that does not search for a shape.
    """
    if METHODS[prune.method].kind != "shapes" or settings is None or source.windows is None:
        return None
    model = [ENGINE_REVISION, library_versions(), source.fingerprint, str(source.loaded.dtype)]
    parts = hashed(["levels", *model, digest_of(source.windows), prune.multiple, sorted(prune.parts)])
    asked = hashed(prune.model_dump(mode="json", exclude={"name", "heal"}))
    folder = settings.cache / "search" / parts
    return SearchWork(folder, folder / f"{asked}.judged")


def curves_for(prune: Prune, fingerprint: str, settings: Settings | None) -> tuple[str, Curves] | None:
    """The newest measurement an allocation by sensitivity can use, and its key; None for another allocation.

    Raises:
        RetortError: this model's sensitivity was not measured with this method.
    """
    if prune.allocation != "sensitivity":
        return None
    for known in find(settings, fingerprint, prune.method) if settings is not None else ():
        if max(known.spec.sparsities) >= prune.nominal:
            return known.key, known.curves()
    label = METHODS[prune.method].label
    raise RetortError(
        f"The sensitivity of this model was not measured with {label} up to {percent(prune.nominal)}.",
        "Measure it on the Sensitivity page, then retry this run.",
    )


def measured_key(prune: Prune, fingerprint: str, settings: Settings) -> str | None:
    """Which measurement `prune` will be spread by; None where that is none, or none was made yet."""
    try:
        found = curves_for(prune, fingerprint, settings)
    except RetortError:
        return None
    return found[0] if found else None


def derived_key(key: str, salt: str) -> str:
    """A trial's key that also depends on `salt`."""
    return hashed([key, salt])


def spread_by(first: Iterable[Prune], later: Iterable[Prune], fingerprint: str, settings: Settings) -> list[str]:
    """The measured sensitivities that prunings may be spread by.

    Those of `first` start from the model `fingerprint`. Of the model that `later` ones start from nothing is known
    before it is made, so every measurement with their method counts.
    """
    found = {measured_key(p, fingerprint, settings) for p in first}
    for prune in later:
        found |= {k.key for k in find(settings, None, prune.method)} if prune.allocation == "sensitivity" else set()
    return sorted(key for key in found if key)
