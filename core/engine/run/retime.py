"""A candidate timed again beside the dense model: only that, with neither pruning nor judging it anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.analysis.paired_times import TIMES, ratio_of, words
from core.base.errors import RetortError
from core.catalogue.contents import changed
from core.engine.data.inputs import prepare
from core.engine.measure.devices import free_memory
from core.engine.measure.energy import estimated_energy
from core.engine.measure.patience import Patience
from core.engine.models.context import context_of
from core.engine.models.load import Loaded, load_model
from core.engine.run.candidate import BASELINE, CANDIDATE, TIMED_ALONE, timed
from core.engine.run.prune_step import Source, apply, needed, statistics_for
from core.engine.run.session import Session
from core.recipe.hooks import Hooks
from core.recipe.recipe import Prune, Recipe
from core.recipe.results import Result
from core.registry.measurement import Measurement, find_metric

_SPARE = 2.0  # free memory, per byte of weights, that two models at once need


def retime(keys: Sequence[str], hooks: Hooks, keep: Callable[[Result], None]) -> None:
    """Times these candidates one after the other; `keep` makes a result durable in place of the earlier one.

    Raises:
        RetortError: a candidate is gone, cannot be made again, or two models do not fit into memory. Those timed
            before it keep their new times.
        Cancelled: the user asked to stop.
    """
    patience = Patience(hooks.settings.limits.quiet_seconds)
    for done, key in enumerate(keys):
        result = _known(key, hooks)
        hooks.reporter.progress(done, len(keys), f"Timing {result.label} again.")
        times = _times(result, hooks, patience)
        now = with_times(_known(key, hooks), times)  # read again: another run may have added the model meanwhile
        keep(now)
        hooks.reporter.event("info", _said(result, now), key=key)
    hooks.reporter.progress(len(keys), len(keys), "Timed again.")


def with_times(result: Result, times: Sequence[Measurement]) -> Result:
    """The result with these times in place of its own, and what is estimated from them; all else stays."""
    new = {m.metric: m for m in times if m.metric in TIMES}
    decode = new.get("decode_ms")
    kept = [new.pop(m.metric, m) if m.metric in TIMES else _from_time(m, decode) for m in result.measurements]
    beside = all(ratio_of(m) is not None for m in times if m.metric in TIMES)
    notes = [n for n in result.notes if not (beside and n == TIMED_ALONE)]
    return result.model_copy(update={"measurements": [*kept, *new.values()], "notes": notes})


def _from_time(m: Measurement, decode: Measurement | None) -> Measurement:
    """An energy estimated from the earlier time of a token follows the new one; a counted one stays."""
    of_time = m.metric == "energy_j_per_token" and m.obtained == "estimated"
    return estimated_energy(decode) if of_time and decode is not None else m


def _known(key: str, hooks: Hooks) -> Result:
    result = hooks.finished(key)
    if result is None:
        raise RetortError("A candidate to time again is gone.", "Run its study again.")
    return result


def _said(before: Result, now: Result) -> str:
    """'Wanda 50 %: latency per token was 93.0 % (...) of the dense model's and is 100.2 % (...)'."""
    pairs = [
        (find_metric(r.measurements, "decode_ms"), find_metric(r.measurements, "prefill_ms")) for r in (before, now)
    ]
    old, new = (ratio_of(m) if (m := decode or prefill) else None for decode, prefill in pairs)
    if new is None:
        return f"{now.label}: timed again."
    was = words(old) if old else "not taken in turns with the dense model's"
    return f"{now.label}: its time was {was} and is now {words(new)} of the dense model's."


def _times(result: Result, hooks: Hooks, patience: Patience) -> list[Measurement]:
    recipe = Recipe.model_validate(result.recipe)
    if recipe.latency is None:
        raise RetortError("This study measured no latency.", "Run it again with latency settings in its recipe.")
    if "machine" in result.facts:
        raise RetortError(
            f"'{result.label}' was timed on a node of a cluster, and this machine may be another.",
            "Run its study again on the cluster.",
        )
    session = Session(recipe, hooks)
    _refuse_changed(result, session)
    if result.baseline:
        return timed({CANDIDATE: session.loaded.model}, recipe.latency, hooks.reporter, patience)
    if free_memory() <= _SPARE * session.weight_bytes:
        raise RetortError(
            "Memory does not hold this model and the dense one at once, so they cannot be timed in turns.",
            "Close other programs, or run the study on a machine with more memory.",
        )
    candidate = _candidate(result, session)
    masked = candidate.model is session.loaded.model  # weight methods change the dense model itself
    dense = load_model(session.resolved.folder, recipe.dtype) if masked else session.loaded
    return timed({BASELINE: dense.model, CANDIDATE: candidate.model}, recipe.latency, hooks.reporter, patience)


def _refuse_changed(result: Result, session: Session) -> None:
    """Another model under the same name is not what this candidate is compared with."""
    now = session.identity.read
    before = {name: content for name, content in result.inputs.items() if name == "model" or not result.saved}
    gone = changed(before, {name: now[name] for name in before if name in now})
    if gone:
        name = session.recipe.model if gone[0] == "model" else gone[0]
        raise RetortError(f"{name} is not what it was when this candidate was made.", "Run its study again.")


def _candidate(result: Result, session: Session) -> Loaded:
    """The kept model, or the pruned one made again in memory."""
    folder = session.hooks.candidate_folder(result.key) / "model"
    if result.saved and folder.is_dir():
        return load_model(folder, session.recipe.dtype)
    if result.prune is None or result.parent is not None or session.recipe.sweep is None:
        raise RetortError(
            f"The model of '{result.label}' is not kept, and it takes more than one step to make it again.",
            "Run its recipe again.",
        )
    prune = Prune.model_validate(result.prune)
    settings, actor, reporter = session.hooks.settings, session.hooks.actor, session.reporter
    windows = None
    if prune.calibrated:
        loaded = session.loaded
        context = context_of(loaded.model)
        windows = prepare(
            session.recipe, loaded.tokenizer, loaded.task, context, settings, actor, reporter, True
        ).calibration
    source = Source(session.loaded, session.resolved.fingerprint, windows)
    statistics = statistics_for(source, needed([prune]), settings, reporter)
    return apply(source, prune, statistics, reporter, settings)[0]
