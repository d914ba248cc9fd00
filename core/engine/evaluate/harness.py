"""Task scores by lm-evaluation-harness on the model in memory, for any task it knows. An optional extra.

Tasks whose items lie in the sample evaluation sets are read from there, so that they need no network.
"""

from __future__ import annotations

import importlib
import logging
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.analysis.proportions import WILSON
from core.base.errors import RetortError
from core.base.progress import Reporter
from core.base.text import one_line
from core.engine.evaluate.choice import accuracy, option_too_long
from core.registry.measurement import Measurement
from core.registry.tasks import TASK_SETS, accuracy_id, task_label

EXTRA = "requirements-tasks.txt"
_COLUMNS = {"boolq": {"doc_to_target": "{{ 1 if answer else 0 }}"}}
"""Where the sample sets name a column otherwise than the harness expects: the right answer of BoolQ."""
_MOST_WARNINGS = 20
_SCORES = {"acc": False, "acc_norm": True}  # the harness's name: whether it is length-normalised


def harness_measurements(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[str],
    limit: int | None,
    batch: int,
    reporter: Reporter,
    sets: Path | None = None,
) -> list[Measurement]:
    """Accuracies of each task as lm-eval finds them, with its own prompts and zero shots; `samples` are 0 or 1.

    Args:
        limit: the first so many items of each task; None: all.
        sets: the folder of the sample evaluation sets, where they are on this machine.
    Raises:
        RetortError: lm-eval is not installed, does not know a task, or cannot get its items.
    """
    try:
        harness: Any = importlib.import_module("lm_eval")
        adapter: Any = importlib.import_module("lm_eval.models.huggingface").HFLM
        manager: Any = importlib.import_module("lm_eval.tasks").TaskManager()
    except ImportError:
        raise RetortError(
            "lm-evaluation-harness is not installed.",
            f"Install it with 'pip install -r {EXTRA} -c constraints.txt', or choose Retort's own scorer.",
        ) from None
    wrapped = adapter(pretrained=model, tokenizer=tokenizer, batch_size=batch)
    found: list[Measurement] = []
    for done, task in enumerate(tasks):
        reporter.checkpoint()
        reporter.progress(done, len(tasks), f"Scoring {task_label(task)} with lm-eval.")
        try:
            with _warnings_to(reporter), tempfile.TemporaryDirectory(prefix="retort-") as scratch:
                chosen = _at_home(manager, task, sets, Path(scratch))
                results = harness.simple_evaluate(
                    model=wrapped,
                    tasks=[chosen],
                    limit=limit,
                    num_fewshot=0,
                    bootstrap_iters=0,
                    task_manager=manager,
                )
        except AssertionError as error:
            where = traceback.extract_tb(error.__traceback__)[-1].line or ""
            if "continuation_enc" in where and "max_length" in where:  # what it asserts of every option
                raise option_too_long(f"{wrapped.max_length} tokens", "lm-eval does not say which") from error
            raise RetortError(
                f"lm-eval could not score {task_label(task)} ({one_line(where, 100)}).",
                "Leave this task out, or choose Retort's own scorer for it.",
            ) from error
        except (OSError, ValueError, KeyError, ConnectionError) as error:
            raise RetortError(
                f"lm-eval could not score {task_label(task)} ({type(error).__name__}).",
                "Its items may need the network: check the connection, or choose a task of the sample sets.",
            ) from error
        found += _measurements(task, results["samples"][task], model, harness.__version__)
    return found


def _at_home(manager: Any, task: str, sets: Path | None, scratch: Path) -> str:
    """The task's name, or a file in `scratch` that is the same task with its items read from this machine."""
    if task not in manager.all_subtasks:
        raise RetortError(f"lm-eval has no single task called '{task}'.", "Look at its list with 'lm-eval ls tasks'.")
    known = TASK_SETS.get(task)
    if known is None or sets is None:
        return task
    split = known.split
    files = sorted(str(f) for f in (sets / known.folder / split).glob("*.arrow"))
    if not files:
        return task
    changed = {
        "include": str(manager.task_index[task].yaml_path),
        "task": task,
        "dataset_path": "arrow",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {split: files}},
        "validation_split": split,
        "training_split": None,
        "test_split": None,
        **_COLUMNS.get(task, {}),
    }
    path = scratch / f"{task}.yaml"
    path.write_text(yaml.safe_dump(changed), encoding="utf-8")
    return str(path)


class _Warnings(logging.Handler):
    """Hands what a library warns of to the run's log, each sentence once."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__(logging.WARNING)
        self._reporter, self._said = reporter, set[str]()

    def emit(self, record: logging.LogRecord) -> None:
        said = one_line(record.getMessage(), 300)
        if said not in self._said and len(self._said) < _MOST_WARNINGS:
            self._said.add(said)
            self._reporter.event("warning", f"lm-eval: {said}")


@contextmanager
def _warnings_to(reporter: Reporter) -> Iterator[None]:
    """What the harness warns of stands in the run's log; what it only tells, nowhere."""
    log, handler = logging.getLogger("lm_eval"), _Warnings(reporter)
    log.setLevel(logging.WARNING)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _has_right_answer(item: Mapping[str, Any]) -> bool:
    """Whether the right answer of an item is one of its options: a place among them, or a text."""
    target, options = str(item.get("target", "")).strip(), item.get("resps")
    if target in ("", "None"):
        return False
    if target.removeprefix("-").isdigit() and isinstance(options, Sequence) and len(options) > 1:
        return 0 <= int(target) < len(options)
    return target != "-100"


def _measurements(
    task: str, items: Sequence[Mapping[str, Any]], model: PreTrainedModel, version: str
) -> list[Measurement]:
    ordered = sorted(items, key=lambda item: int(item["doc_id"]))
    without = sum(not _has_right_answer(item) for item in ordered)
    if without:
        raise RetortError(
            f"lm-eval found no right answer for {without} of {len(ordered)} items of {task_label(task)}.",
            "Its items lie here in another form than it expects: choose Retort's own scorer for this task.",
        )
    record = {
        "task": task,
        "items": len(ordered),
        "shots": 0,
        "scorer": f"lm-eval {version}",
        "samples": "1 for each item answered correctly, else 0",
        "interval": WILSON,
    }
    found = [
        accuracy(accuracy_id(task, normalised), [float(i[name]) for i in ordered], model, record)
        for name, normalised in _SCORES.items()
        if ordered and name in ordered[0]
    ]
    if not found:
        raise RetortError(f"lm-eval does not score {task_label(task)} by accuracy.", "Choose a multiple-choice task.")
    return found
