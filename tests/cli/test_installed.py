"""`pip install .`: a wheel is built without a network, installed into an empty folder, and used from another one."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from core import __version__
from scripts.faults import copied
from tests.layout.modules import ROOT

pytestmark = pytest.mark.slow
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [m for m in ("pip", "setuptools") if importlib.util.find_spec(m) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}, which this environment lacks")
    folder = tmp_path_factory.mktemp("wheel")
    source = copied(folder / "source")
    build = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(source)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("target")
    subprocess.run([*PIP, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)], check=True)
    return target


def retort(installed: Path, empty: Path, *words: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("RETORT_")}
    env |= {"PYTHONPATH": str(installed), "HOME": str(empty), "RETORT_HOME": str(empty / "home")}
    command = [sys.executable, str(installed / "bin" / "retort"), *words]
    done = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_holds_what_it_needs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        about = next(n for n in names if n.endswith(".dist-info/METADATA"))
        requires = [x for x in archive.read(about).decode().splitlines() if x.startswith("Requires-Dist: ")]
    tops = {n.split("/")[0] for n in names if ".dist-info/" not in n}
    assert tops == {"app.py", "core", "pages", "examples"}
    tracked = subprocess.run(["git", "ls-files", "core", "pages"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert set(tracked.stdout.split()) - set(names) == set()
    assert "examples/sample-study.yaml" in names and "pages/study/assets/slide.js" in names
    assert "core/report/templates/report.html" in names
    pinned = [x for x in (ROOT / "requirements.txt").read_text().splitlines() if x and not x.startswith("#")]
    assert sorted(r.removeprefix("Requires-Dist: ") for r in requires) == sorted(pinned)


def test_the_command_works_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    assert retort(installed, tmp_path, "--version") == f"Retort {__version__}\n"
    assert json.loads(retort(installed, tmp_path, "runs", "--json")) == {"runs": []}
    assert "smollm2-135m" in retort(installed, tmp_path, "fetch", "--help")
    assert (tmp_path / "home").is_dir()
