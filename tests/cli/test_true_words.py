"""What is said of a path that cannot be used is true: too long, a file or folder in the way, nobody's home."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.base.errors import RetortError
from core.base.roles import read_roles
from core.base.settings import Settings
from core.commands.parser import main

LONG = "a" * 300


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err
    return err


def test_a_data_folder_that_cannot_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "home" / "retort.sqlite3").mkdir(parents=True)
    (tmp_path / "loop").symlink_to("loop")
    for home, words in (
        (tmp_path / LONG, "longer than this system allows"),
        (file, f"cannot be {file}: {file} is a file."),
        (file / "deeper", f"cannot be {file / 'deeper'}: {file} is a file."),
        (tmp_path / "home", "There is a folder called retort.sqlite3"),
        (tmp_path / "loop" / "x", "no usable path (Symlink loop"),
        ("~nobody_there/x", "There is no home of a user 'nobody_there'"),
    ):
        told = said(capsys, "runs", "--home", str(home))
        assert words in told and "may not write" not in told, told


def test_roots_of_a_user_who_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETORT_ROOTS", "~nobody_there/models")
    with pytest.raises(RetortError, match="There is no home of a user 'nobody_there'"):
        Settings.load(tmp_path)


def test_a_model_in_the_home_of_a_user_who_is_not_there(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "doctor", "path:~nobody_there/x", "--home", str(home.home))
    assert "'~nobody_there/x' is no usable path (there is no such user here)." in told


def test_a_recipe_file_that_cannot_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, words in ((LONG, "File name too long"), (tmp_path, "Is a directory"), ("~nobody/x.yaml", "no file")):
        assert words in said(capsys, "run", str(path), "--home", str(tmp_path / "home"))


def test_a_file_of_roles_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "roles.toml").mkdir()
    with pytest.raises(RetortError, match=r"roles.toml cannot be read \(is a directory\)"):
        read_roles(tmp_path / "roles.toml")
    wrong = tmp_path / "wrong.toml"
    for text in ("hours = true", 'hours = "3"'):
        wrong.write_text(text)
        with pytest.raises(RetortError, match="not valid at 'hours'"):
            read_roles(wrong)


@pytest.mark.parametrize("words", [("--sequences", "0"), ("--length", "-1"), ("--sparsity", "nan")])
def test_pruning_that_cannot_be_done_is_refused_by_its_option(
    home: Settings, tiny_llama: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str]
) -> None:
    """Not: ended for want of memory, which was said of any fault of the process."""
    (home.home / "models" / "m").symlink_to(tiny_llama)
    default = () if words[0] == "--sparsity" else ("--sparsity", "0.5")
    told = said(
        capsys,
        "prune",
        f"path:{home.home / 'models' / 'm'}",
        "--out",
        str(home.home / "out"),
        *words,
        *default,
        "--home",
        str(home.home),
    )
    assert f"{words[0][2:]}: must be" in told and "memory" not in told


def test_a_data_folder_that_cannot_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert "/proc/retort is not there and cannot be made" in said(capsys, "runs", "--home", "/proc/retort")
