"""Bad input: exit status 2, one sentence of cause and one of remedy, and with --json one document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from core.base.settings import Settings
from core.commands.parser import main
from tests.cli.conftest import ROOT, SWEEP, Cli


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "required: COMMAND"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["runs", "--limit", "0"], "'0' is not a whole number from 1"),
        (["runs", "--colour"], "Unrecognized arguments: --colour"),
        (["sweep", "missing.yaml"], "There is no file 'missing.yaml'."),
        (["doctor", "smollm2"], "'smollm2' is no model reference."),
        (["doctor", "sample:nothing"], "There is no sample called 'nothing'."),
        (["doctor", "sample:smollm2-135m"], "has not been fetched yet."),
        (["doctor", "path:/"], "is outside the folders Retort may read"),
        (["cancel", "20260101-000000-abcd"], "There is no run '20260101-000000-abcd'."),
        (["resume", "20260101-000000-abcd"], "There is no run '20260101-000000-abcd'."),
        (["fetch", "nothing"], "There is no sample called 'nothing'."),
        (["fetch", "gemma3-270m"], "Add --accept-terms to accept them."),
    ],
)
def test_bad_input_gets_one_line_and_status_2(
    home: Settings, words: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETORT_HOME", str(home.home))
    assert main(words) == 2
    out, said = capsys.readouterr()
    assert says in said and out == ""
    assert len(said.splitlines()) == 1 and said.rstrip().endswith((".", "'.", "?"))

    assert main([*words, "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["cause"] and document["error"]["remedy"]


def test_a_recipe_with_typos_names_them_all_before_any_work(cli: Cli) -> None:
    bad = SWEEP.replace("sparsity", "sparcity").replace("wanda", "wandaa")
    done = cli("sweep", cli.recipe(bad))
    assert done.returncode == 2
    assert "sweep.grid[0].sparcity (line 10): is not a known key; did you mean 'sparsity'?" in done.stderr
    assert cli.json("runs") == (0, {"runs": []})


def test_a_recipe_of_steps_is_no_sweep(cli: Cli) -> None:
    done = cli("sweep", cli.recipe("steps: [{step: evaluate}]\n"))
    assert done.returncode == 2 and "python -m core run" in done.stderr


def test_too_many_trials_are_refused_before_they_are_queued(cli: Cli) -> None:
    seeds = f"sweep: {{grid: [{{method: wanda, sparsity: [0.5], seeds: {list(range(600))}}}]}}\n"
    done = cli("sweep", cli.recipe(seeds))
    assert done.returncode == 2 and "asks for 600 candidates; at most 500" in done.stderr
    assert cli.json("runs") == (0, {"runs": []})


def test_a_home_that_cannot_be_used_is_said_in_a_sentence(cli: Cli, tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("mine")
    done = cli("runs", "--home", str(occupied / "below"))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert occupied.read_text() == "mine"


def test_help_names_every_command(cli: Cli) -> None:
    done = cli("--help")
    assert done.returncode == 0
    for command in ("doctor", "sweep", "run", "runs", "resume", "cancel", "fetch"):
        assert f"    {command} " in done.stdout


def test_a_reader_that_stops_early_is_no_error(cli: Cli) -> None:
    script = f"{sys.executable} -m core --help | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], env=cli.env, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0" and done.stderr == ""


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (["--help"], {"pydantic", "numpy", "sqlite3"}),
        (["runs"], {"numpy", "core.analysis.paired_times", "core.jobs.actions"}),
        (["doctor", "--help"], {"core.jobs.actions"}),
    ],
)
def test_a_command_imports_what_it_needs_and_never_torch(cli: Cli, words: list[str], unneeded: set[str]) -> None:
    """A second for a list of runs is a second too long."""
    code = f"""
    import json, sys
    from core.commands.parser import main
    try:
        main({words})
    finally:
        print(json.dumps(sorted(sys.modules)), file=sys.stderr)
    """
    done = subprocess.run([sys.executable, "-c", dedent(code)], env=cli.env, cwd=ROOT, capture_output=True, text=True)
    imported = set(json.loads(done.stderr.splitlines()[-1]))
    assert done.returncode == 0 and "core.commands.parser" in imported
    assert not (unneeded | {"torch", "transformers", "datasets", "streamlit", "plotly"}) & imported


@pytest.mark.parametrize(
    ("called", "named"), [("/usr/bin/retort", "retort"), ("/x/core/__main__.py", "python -m core")]
)
def test_its_help_names_the_command_it_was_called_by(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], called: str, named: str
) -> None:
    monkeypatch.setattr("sys.argv", [called, "--help"])
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert capsys.readouterr().out.startswith(f"usage: {named} run ")
