"""A finished study in a file, and back: the figures are the same to six digits, and nothing else comes along."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.recipe.files import load_recipe
from core.store import Store
from core.store.bundle import pack, read_bundle, unpack
from scripts.measured_example import TARGET, main
from tests.pages.study import finished_study

LONG = [3.123456789 + i / 7 for i in range(200)]


@pytest.fixture
def run(home: Settings) -> str:
    """A finished study with a note and many long samples, one of its models kept."""
    run_id, store = finished_study(home), Store(home)
    store.runs.annotate(run_id, tags=["mine"], notes="Private words.")
    for i, found in enumerate(store.candidates.results(run_id=run_id)):
        loss = found.measurements[0].model_copy(update={"samples": LONG, "value": 3.40000049})
        store.candidates.add(
            found.model_copy(update={"measurements": [loss, *found.measurements[1:]], "saved": i == 1})
        )
    return run_id


def test_a_study_comes_back_with_its_figures_and_without_its_people(home: Settings, run: str, tmp_path: Path) -> None:
    store, file = Store(home), tmp_path / "b.json"
    text = pack(store, run, "a small server")
    file.write_text(text)
    assert "Private words" not in text and "mine" not in text and str(home.home) not in text and len(text) < 300_000
    found = read_bundle(file)
    day = time.gmtime(store.runs.get(run).finished)
    said = f"Example, measured on a small server on {day.tm_mday} {time.strftime('%b %Y', day)}; not your machine."
    assert found.said == said and found.recipe() == store.runs.get(run).parsed()
    own = Settings(home=home.cache / "example-x")
    unpack(found, "example-it", own)
    there = Store(own, read_only=True)
    (row,) = there.runs.find()
    assert (row.id, row.state, row.trials_done, row.tags, row.notes) == ("example-it", "done", 12, (), "")
    assert row.name == f"Example on a small server, {found.day}: Sample study"
    mine, theirs = store.candidates.results(run_id=run), there.candidates.results(run_id="example-it")
    assert [r.label for r in mine] == [r.label for r in theirs] and not any(r.saved for r in theirs)
    for a, b in zip(mine, theirs, strict=True):
        assert [m.metric for m in a.measurements] == [m.metric for m in b.measurements]
        for m, n in zip(a.measurements, b.measurements, strict=True):
            assert n.value == pytest.approx(m.value, rel=1e-5) and n.settings.keys() == m.settings.keys()
    assert theirs[0].measurements[0].value == 3.4 and theirs[0].measurements[0].samples is not None
    assert theirs[0].measurements[0].samples[:2] == [3.12346, 3.26631]
    assert [r.id for r in store.runs.find()] == [run], "the user's own list is as it was"


def test_what_is_not_finished_or_not_known_is_refused(home: Settings) -> None:
    store = Store(home)
    failed = finished_study(home, name="Part", failed=1)
    with pytest.raises(RetortError, match="not finished in full"):
        pack(store, failed, "a machine")
    queued = store.runs.add("sweep", "Waits", "sample:x", {}, LOCAL)
    with pytest.raises(RetortError, match="not finished in full"):
        pack(store, queued, "a machine")
    with pytest.raises(RetortError, match="on which machine"):
        pack(store, finished_study(home, name="Whole"))


@pytest.mark.parametrize("text", ["", "[]", "{", json.dumps({"format": 2}), json.dumps({"format": 1, "machine": "x"})])
def test_a_damaged_file_is_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "sample-study.json"
    file.write_text(text)
    with pytest.raises(RetortError, match=r"The example in sample-study\.json cannot be read"):
        read_bundle(file)


def test_the_script_refuses_times_of_a_busy_machine(
    home: Settings, run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, store = tmp_path / "out.json", Store(home)
    arguments = [run, "--home", str(home.home), "--out", str(out), "--machine", "a small server"]
    assert main(arguments) == 0 and read_bundle(out).machine == "a small server"
    found = store.candidates.results(run_id=run)[3]
    timed = [
        m.model_copy(update={"settings": {**m.settings, "contended": True}}) if m.metric == "decode_ms" else m
        for m in found.measurements
    ]
    store.candidates.add(found.model_copy(update={"measurements": timed}))
    out.unlink()
    assert main(arguments) == 1 and not out.exists()
    assert "1 models were timed while other work kept the machine busy: Magnitude 50 %." in capsys.readouterr().err
    assert main([*arguments, "--busy-too"]) == 0


def test_the_study_that_comes_with_retort_is_the_sample_study_as_its_recipe_now_is() -> None:
    """Whoever changes that recipe measures it again: eleven models, each with a loss, a size and a time in turns."""
    shipped = read_bundle(TARGET)
    assert shipped.recipe() == load_recipe(TARGET.with_suffix(".yaml"))
    assert len(shipped.results) == 11 and shipped.machine and shipped.day.endswith(" 2026")
    for result in shipped.results:
        found = {m["metric"]: m for m in result["measurements"]}
        assert found["loss"]["value"] > 3 and found["disk_bytes"]["value"] > 4e8 and found["decode_ms"]["value"] > 10
        assert result["baseline"] or 0.3 < found["decode_ms"]["settings"]["ratio"] < 1.5
