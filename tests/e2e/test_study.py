"""From the first click to the chart, on a real model: the whole product in a browser."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from core.base.settings import Settings
from core.recipe.results import Result
from core.store import RunRow, Store
from scripts.dashboard import ROOT
from tests.conftest import SENTENCES
from tests.e2e.conftest import Visitor, Visits

STUDY_SECONDS = 1800


@pytest.fixture
def workshop(home: Settings, tiny_llama: Path, tiny_text: str) -> Settings:
    """A home whose `models` folder holds a tiny real model and two texts."""
    models = home.home / "models"
    shutil.copytree(tiny_llama, models / "tiny-llama")
    (models / "calibration.txt").write_text(tiny_text)
    (models / "evaluation.txt").write_text("\n\n".join(f"{SENTENCES[i % 5][::-1]} {i}" for i in range(300)))
    return home


def ended(store: Store, run_id: str) -> None:
    """Waits for the run, and for its runner to have nothing left to do."""
    until(store, run_id, lambda run: not run.active)


def until(store: Store, run_id: str, reached: Callable[[RunRow], bool]) -> None:
    deadline = time.monotonic() + STUDY_SECONDS
    while not reached(store.runs.get(run_id)):
        assert time.monotonic() < deadline, store.runs.get(run_id)
        time.sleep(0.5)


@pytest.mark.slow
def test_a_small_study_from_the_first_click_to_the_chart(visits: Visits, workshop: Settings) -> None:
    tab = visits(workshop)
    models = workshop.home / "models"
    page = tab.opens("model?" + urlencode({"kind": "Folder", "folder": str(models / "tiny-llama")}))
    expect(page.get_by_text("Parameters by part")).to_be_visible()
    page.get_by_role("button", name="Prune this model").click()
    expect(page.locator("h1")).to_have_text("Sweep")

    texts = {"cal": f"path:{models / 'calibration.txt'}", "eval": f"path:{models / 'evaluation.txt'}"}
    sizes = {"sequences": 4, "length": 64, "tokens": 1024, "window": 128, "prompt": 16, "new": 4, "repeats": 3}
    amounts = [
        ("sparsity", "50"),
        ("layers", "1"),
        ("name", "A tiny study"),
        ("model", f"path:{models / 'tiny-llama'}"),
    ]
    page = tab.opens("sweep?" + urlencode([*texts.items(), *sizes.items(), *amounts]))
    expect(page.get_by_test_id("stMetric").first).to_contain_text("4")  # dense, magnitude, wanda, one layer fewer
    page.get_by_role("button", name="Start the sweep").click()
    expect(page.locator("h1")).to_have_text("A tiny study")

    page.reload()  # whoever reloads finds the run again
    expect(page.locator("h1")).to_have_text("A tiny study")
    store = Store(workshop)
    run = store.runs.find(kinds=("sweep",), limit=1)[0]
    assert f"run={run.id}" in page.url
    ended(store, run.id)
    assert store.runs.get(run.id).state == "done", store.runs.get(run.id)
    expect(page.get_by_test_id("stMain")).to_contain_text("4 of 4 measured, took")
    expect(page.locator("path.point")).to_have_count(4 + marked(store, run.id))

    page.get_by_role("link", name="Open the trade-offs").click()
    expect(page.locator("h1")).to_have_text("Trade-offs")
    tab.settles()
    expect(page.get_by_test_id("stMain")).to_contain_text(recommended(store, run.id))
    smaller = next(r for r in store.candidates.rows(run_id=run.id) if r.method == "block_influence+healed")
    tab.clicks_point(smaller.key)
    card = page.get_by_test_id("stMain")
    expect(card).to_contain_text("A. Layer removal (block influence), 1 layer removed, healed")
    expect(card).to_contain_text("of the dense size")
    expect(card).to_contain_text(str(workshop.home / "candidates"))  # where the model lies, to take away
    tab.is_well()


def marked(store: Store, run_id: str) -> int:
    """Marks on the chart that are no candidates: one around the recommended one."""
    return int(recommended(store, run_id).startswith("Within"))


def recommended(store: Store, run_id: str) -> str:
    """What a reader of the stored figures would choose: the smallest file with at most 5 % more loss."""

    def of(result: Result, metric: str) -> float:
        return next(m.value for m in result.measurements if m.metric == metric)

    found = store.candidates.results(run_id=run_id)
    dense = next(r for r in found if r.baseline)
    least, most = of(dense, "disk_bytes"), 0.05 * of(dense, "loss")
    inside = [r for r in found if not r.baseline and of(r, "disk_bytes") < least and of(r, "loss_change") <= most]
    if not inside:
        return "Nothing here is smaller within +5 % loss."
    return f"Within +5 % loss: {min(inside, key=lambda r: of(r, 'disk_bytes')).label} ("


@pytest.mark.slow
@pytest.mark.sample
def test_the_sample_study_begins_with_one_click_and_keeps_what_it_measured(
    visits: Visits, home: Settings, sample_home: Settings
) -> None:
    """On the real sample, up to the third model; test_the_sample_study_with_one_click goes to its end."""
    tab, store, run = started(visits, home, sample_home)
    until(store, run.id, lambda found: found.trials_done >= 3 or not found.active)
    assert store.runs.get(run.id).active, store.runs.get(run.id)
    tab.page.get_by_role("button", name="Cancel").click()
    ended(store, run.id)
    found = store.runs.get(run.id)
    assert found.state == "cancelled" and 3 <= found.trials_done < found.trials_total == 11
    expect(tab.page.locator("path.point")).to_have_count(found.trials_done)
    tab.is_well()


@pytest.mark.slow
@pytest.mark.sample
@pytest.mark.long
def test_the_sample_study_with_one_click(visits: Visits, home: Settings, sample_home: Settings) -> None:
    """On the real sample. With RETORT_SCREENSHOT=FILE it also takes the README's picture."""
    tab, store, run = started(visits, home, sample_home)
    page = tab.page
    ended(store, run.id)
    assert store.runs.get(run.id).state == "done", store.runs.get(run.id)
    expect(page.locator("path.point")).to_have_count(11 + marked(store, run.id))
    page.get_by_role("link", name="Open the trade-offs").click()
    tab.settles()
    expect(page.get_by_test_id("stMain")).to_contain_text(recommended(store, run.id))
    tab.is_well()
    if os.environ.get("RETORT_SCREENSHOT"):
        picture(tab, ROOT / os.environ["RETORT_SCREENSHOT"])


def started(visits: Visits, home: Settings, sample_home: Settings) -> tuple[Visitor, Store, RunRow]:
    """The sample study, a click on the Start page ago."""
    (home.home / "samples").symlink_to(sample_home.samples, target_is_directory=True)
    tab = visits(home)
    page = tab.opens("")
    page.get_by_role("button", name="Run the sample study").click()
    expect(page.locator("h1")).to_have_text("Sample study")
    store = Store(home)
    return tab, store, store.runs.find(kinds=("sweep",), limit=1)[0]


def picture(tab: Visitor, path: Path) -> None:
    tab.page.set_viewport_size({"width": 1440, "height": 1180})
    tab.settles()
    tab.page.wait_for_timeout(1000)
    tab.page.screenshot(path=path)
