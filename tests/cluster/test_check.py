"""`python -m core cluster check` on a real cluster, and what it says where there is none."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psutil
import pytest

from core.cluster.check import installed, problems
from core.commands.parser import main
from scripts.dashboard import free_port
from tests.cluster.conftest import TwoNodes


@pytest.mark.jobs
@pytest.mark.slow
def test_check_lists_the_nodes_and_what_they_have(
    cluster: TwoNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETORT_RAY_ADDRESS", cluster.address)
    assert main(["cluster", "check", "--home", str(tmp_path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["trials_at_once"] == 2 and answer["problems"] == []
    assert [n["head"] for n in answer["nodes"]] == [True, False]
    assert all(n["versions"] == installed() and n["free_disk_bytes"] > 0 for n in answer["nodes"])


@pytest.mark.jobs
@pytest.mark.slow
def test_the_test_cluster_listens_on_loopback_only(cluster: TwoNodes) -> None:
    assert cluster.second is not None
    roots = [psutil.Process(p.pid) for p in (cluster.head, cluster.second)]
    family = [q for root in roots for q in (root, *root.children(recursive=True))]
    listening = {address for process in family for address in _listening(process)}
    assert listening and listening <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def _listening(process: psutil.Process) -> set[str]:
    """Addresses a process listens on; none where Ray has ended it meanwhile, as it does with idle workers."""
    try:
        return {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    except psutil.NoSuchProcess:
        return set()


def test_where_no_cluster_answers_it_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install -r requirements-cluster.txt -c constraints.txt")
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("RETORT_RAY_ADDRESS", address)
    assert main(["cluster", "check", "--home", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"No Ray cluster answers at {address}" in said and "Traceback" not in said


def test_a_cluster_without_devices_and_token_is_told() -> None:
    found = problems([], installed(), {})
    assert len(found) == 2 and "retort_device" in found[0] and "token" in found[1]
    assert len(problems([], installed(), {**os.environ, "RAY_AUTH_MODE": "token"})) == 1


def test_without_ray_it_is_said_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["cluster", "check", "--home", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "Ray is not installed" in said and "requirements-cluster.txt" in said and "Traceback" not in said
