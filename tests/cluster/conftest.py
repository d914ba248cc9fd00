"""A real Ray cluster of two nodes on this machine: loopback only, with a token, in a folder of its own."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from scripts.dashboard import free_port
from tests.layout.modules import ROOT

_START_SECONDS, _TRIES = 100.0, 3
_PORTS = ("metrics-export-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port")


class TwoNodes:
    """The head and a second node, each with one device. Only processes started here are ever ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.head, self.second = self._start_head(), None
        self.second = self.add_node()

    def add_node(self) -> subprocess.Popen[bytes]:
        """Starts another node and waits until it has joined."""
        return self._start("node", ["--address", self.address])

    def second_is_busy(self) -> bool:
        """Whether a trial runs on the second node: Ray gives the process the name of its task."""
        assert self.second is not None
        try:
            titles = [p.cmdline()[:1] for p in psutil.Process(self.second.pid).children(recursive=True)]
        except psutil.Error:
            return False
        return any(t and t[0].startswith("ray::retort ") for t in titles)

    def kill_second(self) -> None:
        """Takes a node away as a power cut would: every process of it at once."""
        assert self.second is not None
        end(self.second)

    def stop(self) -> None:
        for process in (self.second, self.head):
            if process is not None:
                end(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_head(self) -> subprocess.Popen[bytes]:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        words = ["--head", "--port", str(port), "--temp-dir", str(self.folder), "--include-dashboard=false"]
        return self._start("head", words)

    def _start(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        """`ray start`; where the machine is too busy for Ray's own 15 seconds of patience, again."""
        for attempt in range(_TRIES):
            log = self.folder / f"{name}-{attempt}.log"
            command = [sys.executable, str(Path(__file__).with_name("start_node.py")), "start", *words, "--block"]
            command += ["--node-ip-address", "127.0.0.1", "--num-cpus", "2", "--num-gpus", "0"]
            command += ["--resources", '{"retort_device": 1}', "--object-store-memory", "100000000"]
            command += ["--disable-usage-stats", *(f"--{p}={free_port()}" for p in _PORTS)]
            with log.open("wb") as file:
                process = subprocess.Popen(command, stdout=file, stderr=file, process_group=0, cwd=ROOT)
            give_up = time.monotonic() + _START_SECONDS
            while process.poll() is None and time.monotonic() < give_up:
                if "Ray runtime started" in log.read_text():
                    return process
                time.sleep(0.1)
            end(process)
        raise AssertionError(log.read_text()[-3000:])


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the process's own group, and waits."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def cluster(two_nodes: TwoNodes) -> TwoNodes:
    """Two living nodes: where an earlier test killed one, another has joined."""
    if two_nodes.second is None or two_nodes.second.poll() is not None:
        two_nodes.second = two_nodes.add_node()
    return two_nodes


@pytest.fixture(scope="session")
def two_nodes() -> Iterator[TwoNodes]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray: pip install -r requirements-cluster.txt -c constraints.txt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        # Sockets lie in it, and their paths must be short.
        nodes = TwoNodes(Path(tempfile.mkdtemp(prefix="rt")))
        try:
            yield nodes
        finally:
            nodes.stop()
