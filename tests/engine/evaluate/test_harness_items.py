"""Every bundled set asks the same questions as lm-evaluation-harness, with the same right answers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.base.settings import Settings
from core.catalogue.samples import is_fetched
from core.engine.evaluate.harness import _at_home, _measurements, _warnings_to
from core.engine.evaluate.tasks.items import load_items
from core.registry.samples import SAMPLES
from core.registry.tasks import TASK_SETS

ITEMS = 200


@pytest.fixture(scope="module")
def manager() -> Any:
    return pytest.importorskip("lm_eval.tasks", reason="needs lm-eval (requirements-tasks.txt)").TaskManager()


@pytest.mark.sample
@pytest.mark.parametrize("name", [t.id for t in TASK_SETS.values() if not t.brought])
def test_items_are_the_harnesss_own(name: str, manager: Any, sample_home: Settings, tmp_path: Path) -> None:
    if not is_fetched(SAMPLES["tasks"], sample_home):
        pytest.skip("needs sample:tasks; fetch it with 'python -m core fetch tasks' first")
    sets = sample_home.samples / "tasks"
    task = next(iter(manager.load([_at_home(manager, name, sets, tmp_path)])["tasks"].values()))
    mine = load_items(TASK_SETS[name], sets, ITEMS)
    theirs = list(task.validation_docs())[: len(mine)]
    assert len(mine) == len(theirs) and len(mine) >= 100
    for item, record in zip(mine, theirs, strict=True):
        asked = task.construct_requests(record, task.fewshot_context(record, 0))[: len(item.contexts)]
        assert [tuple(r.args) for r in asked] == list(zip(item.contexts, item.continuations, strict=True))
        target = task.doc_to_target(record)
        choices = task.doc_to_choice(record)
        right = target if isinstance(target, int) else choices.index(target) if target in choices else None
        assert name == "winogrande" or right == item.gold  # there the options are the contexts
        if name == "winogrande":
            assert int(record["answer"]) - 1 == item.gold


@pytest.mark.parametrize("wrong", ["", "None", "-100", "-1", "2"])
def test_a_set_whose_right_answer_is_none_of_its_options_is_refused(wrong: str) -> None:
    two = [[(-1.0, False)], [(-2.0, False)]]
    items = [{"doc_id": 0, "target": "1", "resps": two, "acc": 1.0}]
    items.append({"doc_id": 1, "target": wrong, "resps": two, "acc": 0.0})
    with pytest.raises(RetortError, match="no right answer for 1 of 2 items of BoolQ"):
        _measurements("boolq", items, None, "0.4")  # type: ignore[arg-type]


def test_what_the_library_warns_of_is_in_the_log_once() -> None:
    reporter = InMemoryReporter()
    with _warnings_to(reporter):
        for message in ("column 'label' is missing", "column 'label' is missing", "other"):
            logging.getLogger("lm_eval.api.task").warning(message)
        logging.getLogger("lm_eval.evaluator").info("Running requests")
    logging.getLogger("lm_eval").warning("after")
    assert [(level, said) for level, said, _ in reporter.events] == [
        ("warning", "lm-eval: column 'label' is missing"),
        ("warning", "lm-eval: other"),
    ]
