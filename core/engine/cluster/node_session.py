"""A node's side of a sweep: the study unpacked once, opened once a process, and one trial measured at a time."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import psutil
import torch

from core.analysis.paired_times import TIMES
from core.base.errors import RetortError
from core.base.panics import panic_in_words
from core.base.private_files import keep_private
from core.base.progress import InMemoryReporter
from core.base.settings import Settings
from core.catalogue.references import Reference, ResolvedModel
from core.cluster.connection import library
from core.cluster.transfer import Archive, archive_name, node_cache, pack, received
from core.engine.cluster.messages import Answer, Study
from core.engine.measure.devices import cpu_name, gpus, usable_cores
from core.engine.measure.latency import latency
from core.engine.models.roundtrip import ReloadProcess
from core.engine.prune.statistics import Statistics
from core.engine.run.candidate import CandidateMeasurer, versions
from core.engine.run.prune_step import Source
from core.engine.run.session import Session
from core.engine.run.sweep import hold_beside, pruned_candidate
from core.recipe.results import Result, Trial
from core.registry.measurement import Measurement, find_metric

_TIMED = (*TIMES, "peak_memory_bytes", "energy_j_per_token")
_open: dict[str, Workshop] = {}
"""The study this process has open: at most one."""


def run_trial(study: Study, trial: Trial) -> Answer:
    """Measures one trial on this node. Runs as a Ray task, which leases the node's device.

    The next task of the same process finds model, windows and fresh process as they are; after anything
    unforeseen, an interrupt too, they are opened anew.
    """
    ray = library()
    node = ray.get_runtime_context().get_node_id()
    reporter = InMemoryReporter()  # a cancel does not come through it: Ray interrupts the task
    answer = Answer(node[:8], machine())
    try:
        shop = _opened(ray, study, node, reporter)
        answer.result = shop.measured(trial, reporter)
        if answer.result.saved:
            folder = shop.candidate_folder(trial.key)
            answer.model = pack(ray, archive_name(trial.key), {"model": folder / "model"})
            shutil.rmtree(folder)
    except RetortError as error:
        answer.error = error
    except BaseException as error:
        close()
        answer.error = panic_in_words(error)  # one that Ray would take for a lost worker, and try again
        if answer.error is None:
            raise
    answer.events = reporter.events
    return answer


def close() -> None:
    """Forgets the open study and ends its fresh process."""
    for shop in _open.values():
        shop.close()
    _open.clear()


def machine() -> str:
    """This node as a reader of a figure should know it: processor or card, cores and memory."""
    cards = gpus()
    what = cards[0]["name"] if cards else cpu_name()
    return f"{what}, {usable_cores()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"


def _opened(ray: Any, study: Study, node: str, reporter: InMemoryReporter) -> Workshop:
    shop = _open.get(study.id)
    if shop is None:
        close()
        _refuse_other_versions(study)
        # Ray allows a task one thread; a node's trial has the node to itself, as it has a machine.
        torch.set_num_threads(usable_cores())
        shop = _open[study.id] = Workshop(ray, study, node, reporter)
    shop.bench.baseline = study.baseline
    return shop


def _refuse_other_versions(study: Study) -> None:
    here = versions()
    other = [f"{k} {here[k]} instead of {v}" for k, v in study.versions.items() if here[k] != v]
    if other:
        raise RetortError(
            f"A node has {', '.join(other)}, so its figures could not be compared.",
            "Install the same requirements on every node (docs/cluster.md).",
        )


class Workshop:
    """A study opened in this process; also the `Hooks` of its session, as far as measuring needs them."""

    def __init__(self, ray: Any, study: Study, node: str, reporter: InMemoryReporter) -> None:
        keep_private()
        self.run_folder = cache = node_cache(node)
        self.reporter = reporter
        self.study = study
        self.actor = study.actor

        def here(archive: Archive, what: str) -> Path:
            folder, new = received(ray, archive, cache)
            if new:
                reporter.event(
                    "info", f"Node {node[:8]} received {what} ({archive.bytes / 1e6:.1f} MB).", node=node[:8]
                )
            return folder

        self.settings = Settings(home=here(study.home, "the files of the home"))
        folder = here(study.model, "the model") / "model"
        statistics = here(study.statistics, "the calibration statistics") if study.statistics else None
        self.statistics = Statistics(statistics / "statistics") if statistics else None
        self.session = Session(study.recipe, self)
        reference = Reference.parse(study.recipe.model)
        self.session.resolved = ResolvedModel(reference, folder, study.fingerprint, {})
        self.source = Source(self.session.loaded, study.fingerprint, study.inputs.calibration)
        self.bench = CandidateMeasurer(study.recipe, study.inputs, self, self.session.reporter, ReloadProcess())
        self._alone: list[Measurement] | None = None

    def measured(self, trial: Trial, reporter: InMemoryReporter) -> Result:
        """The trial's result, whose times say on which machine and beside which baseline they were taken."""
        self.reporter = self.session.reporter.base = reporter
        shutil.rmtree(self.candidate_folder(trial.key), ignore_errors=True)  # of a task that was lost
        if trial.dense:
            result = self.bench.dense_candidate(trial, self.source.loaded)
        else:
            self.bench.know(self.source.loaded)
            if self.bench.dense is None:
                hold_beside(self.bench, self.session)
            if self.bench.dense is None and self._alone is None and self.study.recipe.latency is not None:
                self._alone = latency(
                    {"baseline": self.source.loaded.model}, self.study.recipe.latency, self.session.reporter
                )["baseline"]
            result = pruned_candidate(self.session, self.bench, self.source, self.statistics, trial)
        self._say_where(result)
        return result

    def _say_where(self, result: Result) -> None:
        result.facts["machine"] = machine()
        for found in result.measurements:
            if found.metric in _TIMED:
                found.settings["machine"] = result.facts["machine"]
                known = None if result.baseline else find_metric(self._alone or (), found.metric)
                if known is not None:
                    # A baseline timed on another machine would say nothing about this one.
                    found.settings |= {"baseline_value": known.value}
                    found.settings["baseline_timed"] = "on the same machine, but not in turns"

    def close(self) -> None:
        self.bench.fresh.stop()

    def candidate_folder(self, key: str) -> Path:
        return self.run_folder / "candidates" / key

    def register_trials(self, trials: list[Trial]) -> None:
        return None

    def finished(self, key: str) -> Result | None:
        return None

    def trial_started(self, index: int) -> None:
        return None

    def trial_done(self, index: int, result: Result) -> None:
        return None

    def trial_failed(self, index: int, error: RetortError) -> None:
        return None
