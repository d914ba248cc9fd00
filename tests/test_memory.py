"""Memory this process may take: the files of control groups as kernels write them, in both versions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from core.base import memory
from core.base.errors import RetortError

OOM_CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"
GB = 10**9


def version_2(root: Path, folder: str, limit: str, used: int, cache: int = 0) -> None:
    group = root / folder
    group.mkdir(parents=True, exist_ok=True)
    (group / "memory.max").write_text(f"{limit}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon {used - cache}\nactive_file {cache // 2}\ninactive_file {cache // 2}\n")
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 2\noom_kill 2\noom_group_kill 0\n")


def test_every_group_above_a_process_counts_and_page_cache_is_free(tmp_path: Path) -> None:
    version_2(tmp_path, "a", str(4 * GB), 3 * GB, cache=2 * GB)
    version_2(tmp_path, "a/b", "max", GB)
    version_2(tmp_path, "elsewhere", str(GB), GB)
    membership = tmp_path / "cgroup"
    membership.write_text("0::/a/b\n")
    assert list(memory.group_limits(tmp_path, membership)) == [(4 * GB, GB)]


def test_inside_a_container_the_path_may_name_a_place_outside(tmp_path: Path) -> None:
    version_2(tmp_path, ".", str(2 * GB), GB)
    membership = tmp_path / "cgroup"
    membership.write_text("0::/system.slice/docker-12ab.scope\n")
    assert list(memory.group_limits(tmp_path, membership)) == [(2 * GB, GB)]


def test_the_first_version_of_control_groups(tmp_path: Path) -> None:
    group = tmp_path / "memory" / "jobs"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text(f"{8 * GB}\n")
    (group / "memory.usage_in_bytes").write_text(f"{5 * GB}\n")
    (group / "memory.stat").write_text(f"cache 7\ntotal_active_file {GB}\ntotal_inactive_file {GB}\n")
    membership = tmp_path / "cgroup"
    membership.write_text("5:cpu,cpuacct:/jobs\n4:memory:/jobs\n0::/\n")
    assert list(memory.group_limits(tmp_path, membership)) == [(8 * GB, 3 * GB)]


def test_kills_are_read_where_the_kernel_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "MEMBERSHIP", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "VMSTAT", tmp_path / "vmstat")
    assert memory.kills() == {}
    (tmp_path / "vmstat").write_text("nr_free_pages 12\noom_kill 5\n")
    assert memory.kills() == {str(tmp_path / "vmstat"): 5}
    (tmp_path / "cgroup").write_text("0::/a\n")
    version_2(tmp_path, "a", "max", GB)
    assert memory.kills() == {str(tmp_path / "a/memory.events"): 2, str(tmp_path / "vmstat"): 5}
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("1\n")
    (tmp_path / "memory" / "memory.oom_control").write_text(OOM_CONTROL)
    (tmp_path / "cgroup").write_text("4:memory:/\n")
    assert memory.kills()[str(tmp_path / "memory/memory.oom_control")] == 3


def test_free_and_total_are_no_more_than_the_machine_has() -> None:
    assert 0 < memory.available() < memory.total() <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("text", "bytes_"), [("12 GB", 12 * GB), ("8GiB", 8 * 2**30), ("1.5 gb", GB * 3 // 2), ("5000000", 5_000_000)]
)
def test_limits_in_bytes(text: str, bytes_: int) -> None:
    assert memory.limit_of(text) == bytes_


def test_limits_as_a_share_of_what_there_is() -> None:
    assert memory.limit_of("50 %") == memory.total() // 2
    assert memory.limit_of("") == int(memory.total() * 0.9)
    assert memory.limit_of("500%") == memory.total()


@pytest.mark.parametrize("text", ["much", "-3 GB", "0", "12 PB", "%", "1e9"])
def test_a_limit_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(RetortError, match="cannot be read") as refusal:
        memory.limit_of(text)
    assert "RETORT_MEMORY_LIMIT" in refusal.value.remedy


def test_what_a_process_and_its_children_use_is_counted_once() -> None:
    """A child that shares its parent's pages adds nothing; one with pages of its own does."""
    program = """
import os, sys, time
from core.jobs.guards import used_exactly, used_quickly
own = bytearray(os.urandom(1 << 20) * 80)
alone = used_exactly()
if (child := os.fork()) == 0:
    time.sleep(60)
shared = used_exactly(), used_quickly()
if (other := os.fork()) == 0:
    more = bytearray(os.urandom(1 << 20) * 60)
    os.write(1, b"ready\\n")
    time.sleep(60)
sys.stdin.readline()
print(alone >> 20, shared[0] >> 20, shared[1] >> 20, used_exactly() >> 20, flush=True)
os.kill(child, 9), os.kill(other, 9)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("\n")
        process.stdin.flush()
        alone, shared, quickly, grown = map(int, process.stdout.readline().split())
    assert alone >= 80 and abs(shared - alone) < 15 and quickly > alone + 60 and grown - shared > 50
