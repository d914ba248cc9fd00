"""A panic inside a tokenizer is no ordinary exception: it is caught, named and not tried again, wherever it happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest

from core.base.panics import is_failure, panic_in_words
from core.base.roles import LOCAL
from core.commands import listing
from core.commands import parser as command_line
from core.jobs import actions, failures
from core.jobs.logs import log_path, tail
from tests.jobs.conftest import Bench
from tests.jobs.tiny_study import panicking, recipe


def a_panic(model: Path, folder: Path) -> BaseException:
    """A real one of the tokenizers library."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(panicking(model, folder))
    try:
        tokenizer("The river")
    except BaseException as error:
        return error
    raise AssertionError("the library did not panic")


def test_a_panic_is_told_from_a_wish_to_end(tiny_llama: Path, tmp_path: Path) -> None:
    error = a_panic(tiny_llama, tmp_path / "panics")
    assert not isinstance(error, Exception) and is_failure(error)
    said = failures.explain(error, tmp_path)
    assert said.cause == "The model's tokenizer broke off with an internal error (a panic): no entry found for key"
    assert "tokenizer.json" in said.remedy and "ends the same way" in said.remedy
    assert not is_failure(KeyboardInterrupt()) and not is_failure(SystemExit()) and is_failure(ValueError())
    assert panic_in_words(ValueError("token")) is None
    elsewhere = type("PanicException", (BaseException,), {})("index out of bounds")
    words = panic_in_words(elsewhere)
    assert words is not None and words.cause.startswith("A compiled library broke off")


@pytest.mark.jobs
def test_a_worker_names_it_and_does_not_try_again(bench: Bench, tiny_llama: Path) -> None:
    models = bench.settings.home / "models"
    panicking(tiny_llama, models / "tiny")
    run = bench.wait(actions.submit(recipe(models), bench.settings, LOCAL))
    assert run.state == "failed" and run.attempts == 1, bench.log(run.id)
    assert run.cause == "The model's tokenizer broke off with an internal error (a panic): no entry found for key"
    assert "PanicException" in tail(log_path(bench.settings.run_folder(run.id)))
    assert not bench.store.events.tail(run.id) or all("gone" not in e.message for e in bench.store.events.tail(run.id))


@pytest.mark.parametrize("json_too", [False, True])
def test_the_command_line_says_it_in_a_sentence(
    tiny_llama: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    json_too: bool,
) -> None:
    """In this very process: a command that meets a tokenizer of an installed package, say."""
    error = a_panic(tiny_llama, tmp_path / "panics")

    def broken(*_: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(listing, "listing", broken)
    status = command_line.main(["runs", "--home", str(tmp_path), *(["--json"] if json_too else [])])
    out, err = capsys.readouterr()
    assert status == 1 and err.startswith("The model's tokenizer broke off") and "Traceback" not in err
    assert ("no entry found" in out) == json_too


@pytest.mark.slow
def test_pruning_file_by_file_says_it_too(tiny_llama: Path, tmp_path: Path) -> None:
    """`python -m core prune` computes in a process of its own, which answers with the sentence."""
    import json
    import subprocess
    import sys

    from tests.jobs.tiny_study import text

    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    request = {
        "home": str(home),
        "role": "admin",
        "folder": str(panicking(tiny_llama, home / "models" / "panics")),
        "target": str(tmp_path / "out"),
        "prune": {"step": "prune", "method": "wanda", "sparsity": 0.5},
        "calibration": {"data": text(home / "models" / "a.txt", 1), "split": None, "sequences": 2, "length": 32},
    }
    done = subprocess.run(
        [sys.executable, "-m", "core.engine.prune.shards_process"],
        input=json.dumps(request),
        text=True,
        capture_output=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert "tokenizer broke off" in json.loads(done.stdout.splitlines()[-1])["error"]["cause"]
