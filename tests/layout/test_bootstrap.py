"""`make run` and `make test` on other machines: too old a Python, no venv, no browser, an install that breaks off."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.layout.modules import ROOT

EMPTY = "# nothing to install\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the real script and Makefile, and nothing to install."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "bootstrap.py", tmp_path / "scripts")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "requirements-test.txt", "requirements-tasks.txt", "constraints.txt"):
        (tmp_path / name).write_text(EMPTY)
    return tmp_path


@pytest.fixture
def bare_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH that holds a shell and make only: no browser, no apt, no Python."""
    folder = tmp_path_factory.mktemp("bin")
    for tool in ("sh", "make"):
        found = shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)
    return folder


def bootstrap(project: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(project / "scripts" / "bootstrap.py"), *words]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)


def make(project: Path, path: Path, target: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(path), "HOME": str(project)}
    return subprocess.run([str(path / "make"), target], cwd=project, env=env, capture_output=True, text=True)


def test_no_python_that_is_new_enough_is_said_in_a_sentence(project: Path, bare_path: Path) -> None:
    old = bare_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")  # what 3.10 answers to the question whether it is at least 3.11
    old.chmod(0o755)
    done = make(project, bare_path, "run")
    assert done.returncode != 0
    assert "Retort needs Python 3.11 or newer, and none was found." in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_extra_is_refused(project: Path) -> None:
    done = bootstrap(project, "tests")
    assert (done.returncode, done.stderr) == (1, "There is no extra named 'tests'. Known: test, tasks, chromium.\n")
    assert not (project / ".venv").exists()


def test_a_python_without_venv_is_told_what_to_install(project: Path, bare_path: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "stripped"
    stripped.mkdir()
    (stripped / "ensurepip.py").write_text("raise ImportError('as on Debian without python3-venv')\n")
    done = bootstrap(project, PATH=str(bare_path), PYTHONPATH=str(stripped))
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    assert done.returncode == 1
    assert done.stderr.startswith("This Python cannot make environments: its venv module is missing.")
    assert f"apt-get install {version}" in done.stderr and "Traceback" not in done.stderr


def test_a_folder_that_is_no_environment_is_left_alone(project: Path) -> None:
    (project / ".venv").mkdir()
    (project / ".venv" / "thesis.txt").write_text("mine")
    done = bootstrap(project)
    assert done.returncode == 1 and "is not a Python environment" in done.stderr
    assert (project / ".venv" / "thesis.txt").read_text() == "mine"


@pytest.mark.slow
def test_an_install_happens_once_and_again_after_a_change_or_a_failure(project: Path, bare_path: Path) -> None:
    state = project / ".venv" / "installed.json"
    assert bootstrap(project, "test").returncode == 0
    first = json.loads(state.read_text())
    assert set(first) == {"product", "test"}

    again = bootstrap(project, "test")
    assert (again.returncode, again.stderr, again.stdout) == (0, "", "")

    (project / "requirements-test.txt").write_text("./no-such-folder\n")
    broken = bootstrap(project, "test")
    assert broken.returncode == 1 and "pip could not install" in broken.stderr
    assert set(json.loads(state.read_text())) == {"product"}, "what broke off does not count as installed"

    (project / "requirements-test.txt").write_text(EMPTY)
    mended = bootstrap(project, "test")
    assert mended.returncode == 0 and "Installing requirements-test.txt" in mended.stderr
    assert json.loads(state.read_text()) == first

    (project / ".venv" / "bin" / "python").unlink()  # as after an upgrade of the system's Python
    assert bootstrap(project).returncode == 0
    assert set(json.loads(state.read_text())) == {"product"}

    without = bootstrap(project, "chromium", PATH=str(bare_path))
    assert without.returncode == 0
    assert without.stderr.startswith("No Chromium here, and apt cannot install it: the browser tests will be skipped.")
