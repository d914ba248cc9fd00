"""The dashboard on a real server, for the tests, the soak and the benchmarks that look at it from outside."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from core.base.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
STARTUP_SECONDS = 90


def free_port() -> int:
    """A port of this machine that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    settings: Settings, port: int, out: BinaryIO, *options: str, script: str | Path = "app.py", **env: str
) -> subprocess.Popen[bytes]:
    """Starts it on this port as `streamlit run app.py` does, without a login unless `env` says where one is set up."""
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    command += [f"--server.port={port}", "--server.headless=true", *options]
    mine = {**settings.environment(), "STREAMLIT_SECRETS_FILES": "none"}
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | mine | env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
    )


def answers(port: int) -> bool:
    """Whether a server is ready on this port."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def serving(
    settings: Settings, port: int, *options: str, script: str | Path = "app.py", **env: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The dashboard on this port, ready; it ends with the block.

    Raises:
        RuntimeError: it ended, or did not answer in time; with what it said.
    """
    log = settings.home / "server.log"
    with log.open("wb") as out:
        process = start(settings, port, out, *options, script=script, **env)
    try:
        give_up = time.monotonic() + STARTUP_SECONDS
        while not answers(port):
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"The dashboard did not start: {log.read_text()}")
            time.sleep(0.1)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
