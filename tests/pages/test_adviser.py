"""The guide on Start: nothing without a model, ranked plans with one, and a plan that is run with one click."""

from __future__ import annotations

import shutil
from pathlib import Path

from core.base.settings import Settings
from core.store import Store
from tests.pages.conftest import Opens, words


def test_without_a_model_there_is_no_guide(opens: Opens) -> None:
    assert "Choose a technique" not in words(opens("start"))


def test_answers_change_the_plans_and_one_click_runs_one(
    opens: Opens, settings: Settings, store: Store, tiny_llama: Path
) -> None:
    model = shutil.copytree(tiny_llama, settings.roots[0] / "model")
    page = opens("start")
    assert [b.label for b in page.button].count("Run this plan") >= 3
    assert "1. Keep the weights as int8" in [s.value for s in page.subheader]
    page.toggle(key="slow").set_value(True).run()
    page.selectbox(key="where").set_value("realtime").run()
    assert "1. Take a few layers out" in [s.value for s in page.subheader]
    page.button(key="plan-depth").click().run()
    assert not page.exception
    run = store.runs.find(limit=1, kinds=("sweep",))[0]
    assert (run.name, run.model) == ("Take a few layers out", f"path:{model}")
