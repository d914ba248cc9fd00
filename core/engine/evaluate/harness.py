"""Task scores by lm-evaluation-harness on the model in memory, for any task it knows. An optional extra.

Tasks whose items lie in the sample evaluation sets are read from there, so that they need no network.
"""

from __future__ import annotations

import importlib
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.analysis.proportions import WILSON
from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.evaluate.choice import accuracy
from core.registry.measurement import Measurement
from core.registry.tasks import TASK_SETS, accuracy_id, task_label

EXTRA = "requirements-tasks.txt"
_COLUMNS = {"boolq": {"doc_to_target": "{{ 1 if answer else 0 }}"}}
"""Where the sample sets name a column otherwise than the harness expects: the right answer of BoolQ."""
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
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    wrapped = adapter(pretrained=model, tokenizer=tokenizer, batch_size=batch)
    found: list[Measurement] = []
    for done, task in enumerate(tasks):
        reporter.checkpoint()
        reporter.progress(done, len(tasks), f"Scoring {task_label(task)} with lm-eval.")
        try:
            with tempfile.TemporaryDirectory(prefix="retort-") as scratch:
                chosen = _at_home(manager, task, sets, Path(scratch))
                results = harness.simple_evaluate(
                    model=wrapped,
                    tasks=[chosen],
                    limit=limit,
                    num_fewshot=0,
                    bootstrap_iters=0,
                    task_manager=manager,
                )
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


def _measurements(
    task: str, items: Sequence[Mapping[str, Any]], model: PreTrainedModel, version: str
) -> list[Measurement]:
    ordered = sorted(items, key=lambda item: int(item["doc_id"]))
    without = sum(str(item.get("target", "")).strip() in ("", "-100", "None") for item in ordered)
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
