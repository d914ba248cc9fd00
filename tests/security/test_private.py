"""A home is its user's alone: files 0600, folders 0700, whatever the umask was and whichever library wrote them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.base.private_files import hand_on, keep_private, tighten
from core.base.settings import Settings
from core.store import Store
from tests.jobs.tiny_study import text

ROOT = Path(__file__).resolve().parents[2]
STUDY = """\
name: private study
model: path:{models}/tiny-llama
calibration: {{data: "path:{models}/a.txt", split: null, sequences: 4, length: 32}}
evaluation: {{data: "path:{models}/b.txt", split: null, tokens: 512, window: 64}}
latency: {{prompt: 8, new_tokens: 2, repeats: 1}}
dtype: float32
steps:
  - {{step: prune, method: wanda, sparsity: 0.5}}
  - {{step: finetune, losses: [{{loss: cross_entropy}}], budget: {{steps: 2}}, batch: 2, checkpoint_every: 1,
      data: {{data: "path:{models}/c.txt", split: null, length: 32}}, held_out: 2}}
  - {{step: evaluate}}
  - {{step: measure}}
  - {{step: export}}
"""


def open_to_others(home: Path) -> Iterator[str]:
    for path in (home, *home.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if not path.is_symlink() and mode & 0o077:
            yield f"{path.relative_to(home)} {mode:o}"


@pytest.fixture
def other_umask() -> Iterator[None]:
    before = os.umask(0)
    os.umask(before)
    yield
    os.umask(before)


@pytest.mark.jobs
@pytest.mark.slow
def test_after_a_real_study_nothing_of_the_home_is_open_to_others(tmp_path: Path, tiny_llama: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "report.html"
    shutil.copytree(tiny_llama, home / "models" / "tiny-llama")
    for seed, name in enumerate("abc"):
        text(home / "models" / f"{name}.txt", seed)
    recipe = tmp_path / "study.yaml"
    recipe.write_text(STUDY.format(models=home / "models"))
    for path in (home, *home.rglob("*")):  # as an earlier version, or a careless hand, left it
        path.chmod(0o777 if path.is_dir() else 0o666)

    def core(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "core", *words, "--home", str(home)],
            cwd=ROOT,
            preexec_fn=lambda: os.umask(0),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    core("run", str(recipe))
    run_id = Store(Settings(home=home)).runs.find()[0].id
    core("report", run_id, "--out", str(out))
    written = {p.suffix for p in home.rglob("*") if p.is_file()}
    assert {".safetensors", ".sqlite3", ".lock", ".log", ".txt", ".json"} <= written, "of each kind there is one"
    assert list(open_to_others(home)) == []
    assert stat.S_IMODE(out.stat().st_mode) == 0o666, "what somebody asked to have elsewhere is as their umask says"


def test_an_old_home_is_taken_away_from_others_when_it_is_opened(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside.txt"
    (home / "runs" / "a").mkdir(parents=True)
    (home / "runs" / "a" / "log.txt").write_text("x")
    (home / "tool").write_text("#!/bin/sh\n")
    outside.write_text("shared")
    (home / "link").symlink_to(outside)
    for path, mode in ((home, 0o755), (home / "runs" / "a", 0o777), (home / "tool", 0o755), (outside, 0o644)):
        path.chmod(mode)
    Store(Settings(home=home))
    assert list(open_to_others(home)) == []
    assert stat.S_IMODE((home / "tool").stat().st_mode) == 0o700, "what its user may do stays"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644, "nothing outside is touched"
    tighten(home / "not there")


@pytest.mark.usefixtures("other_umask")
def test_what_is_handed_on_gets_what_the_users_umask_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.base.private_files._found", None)
    os.umask(0o027)
    keep_private()
    keep_private()
    (tmp_path / "out" / "deeper").mkdir(parents=True)
    file = tmp_path / "out" / "deeper" / "model.json"
    file.write_text("{}")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    hand_on(tmp_path / "out")
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "out", file.parent, file)]
    assert modes == [0o750, 0o750, 0o640]
