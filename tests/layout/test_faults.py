"""The deliberate faults still apply to the code as it is, and name tests that exist: `make soak` tries each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.faults import LISTS, ROOT, Fault, listed, tried

FAULTS = listed()


def test_every_list_is_read() -> None:
    assert {f.list for f in FAULTS} == {p.stem for p in LISTS.iterdir()}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f.list}: {f.says}")
def test_it_changes_one_place_and_names_tests_that_exist(fault: Fault) -> None:
    assert fault.problem() is None
    changed = (ROOT / fault.file).read_text("utf-8").replace(fault.before, fault.after)
    assert fault.before != fault.after
    if fault.file.endswith(".py"):
        compile(changed, fault.file, "exec")  # nobody would ship what cannot even be read
    for test in fault.tests:
        path, *names = test.split("::")
        text = (ROOT / path).read_text("utf-8") if names else ""
        assert all(f"def {n.partition('[')[0]}(" in text or f"class {n}" in text for n in names), test


def test_one_that_no_longer_applies_is_noticed() -> None:
    kept = FAULTS[0]
    assert "occurs 0 times" in str(kept.model_copy(update={"before": "no such text"}).problem())
    assert "there is no" in str(kept.model_copy(update={"tests": ("tests/test_gone.py",)}).problem())


def test_the_runner_tells_caught_from_missed_and_puts_the_file_back(tmp_path: Path) -> None:
    code, test = "ONE = 1\nTWO = 2\n", "from code_of import ONE\n\n\ndef test_one():\n    assert ONE == 1\n"
    (tmp_path / "code_of.py").write_text(code)
    (tmp_path / "test_of.py").write_text(test)
    common = {"list": "of", "says": "a number is wrong", "file": "code_of.py", "tests": ("test_of.py",)}
    for before, after, found in (("1", "3", "caught"), ("2", "3", "missed")):
        assert tried(Fault(before=before, after=after, **common), tmp_path, 300.0)[0] == found
        assert (tmp_path / "code_of.py").read_text() == code
    excused = Fault(before="2", after="3", explained="nothing uses it", **common)
    assert tried(excused, tmp_path, 300.0) == ("explained", "nothing uses it")
    assert tried(excused.model_copy(update={"before": "1"}), tmp_path, 300.0)[0] == "error"
