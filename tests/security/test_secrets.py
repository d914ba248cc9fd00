"""A hub token reaches the worker, whose libraries need it, and no file of the home, no log and no report."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from core.base.roles import LOCAL
from core.commands.parser import main
from core.jobs import actions
from core.recipe.recipe import Grid, Sweep
from tests.jobs.test_real_sweep import bench_of, recipe

pytestmark = [pytest.mark.jobs, pytest.mark.slow]
SECRET = "hf_sentinelThatNobodyMayEverRead0123456789"


def holding(folder: Path) -> list[str]:
    """Files under `folder` in which the secret stands, as it is or in base64."""
    wanted = [SECRET.encode(), base64.b64encode(SECRET.encode()).rstrip(b"=")]
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert len(files) > 10  # or there is nothing to look into
    return [str(p.relative_to(folder)) for p in files if any(w in p.read_bytes() for w in wanted)]


def test_a_hub_token_is_in_no_file_of_the_home_nor_in_a_log_or_report(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    bench = bench_of(tmp_path)
    home = str(bench.settings.home)
    try:
        plan = recipe(bench.settings.home / "models", tiny_llama).model_copy(
            update={"sweep": Sweep(grid=(Grid(method=("wanda",), sparsity=(0.5,)),), keep="all")}
        )
        run_id = actions.submit(plan, bench.settings, LOCAL)
        pid = bench.until(lambda: bench.worker_pid(run_id))
        assert SECRET.encode() in Path(f"/proc/{pid}/environ").read_bytes()
        assert bench.wait(run_id, timeout=300).trials_failed == 0, bench.log(run_id)
        missing = plan.model_copy(update={"name": "Missing", "model": "hub:no-such-owner/no-such-model"})
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        failed = bench.wait(actions.submit(missing, bench.settings, LOCAL), timeout=120)
        assert failed.state == "failed"
    finally:
        bench.stop()
    for form in ("html", "json", "csv", "pptx"):
        out = str(bench.settings.home / f"report.{form}")
        assert main(["report", run_id, "--format", form, "--out", out, "--home", home]) == 0
    for command in (["runs", "--json"], ["reproduce", run_id], ["lineage", run_id]):
        assert main([*command, "--home", home]) == 0
    assert holding(bench.settings.home) == []
    said = capfd.readouterr()
    assert run_id in said.out and SECRET not in said.out + said.err
