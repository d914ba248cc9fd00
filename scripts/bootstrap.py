"""Makes the project's environment and installs what is missing; the second time it takes a moment.

    python scripts/bootstrap.py [test] [tasks] [chromium]

Standard library only: nothing is installed yet when this runs. A hash of the requirement files is kept in the
environment, so an install happens only when one of them changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
CONSTRAINTS = ROOT / "constraints.txt"
GROUPS = {"product": "requirements.txt", "test": "requirements-test.txt", "tasks": "requirements-tasks.txt"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OLDEST = (3, 11)
FREE_BYTES = 3_000_000_000  # the smallest build of torch unpacked, and the file it comes in


class Refusal(Exception):
    """One sentence of cause and one of remedy."""


def main(wanted: list[str]) -> int:
    """Installs the product and the `wanted` extras. Returns the exit status."""
    unknown = [w for w in wanted if w not in (*GROUPS, "chromium")]
    if unknown:
        return _refuse(f"There is no extra named {unknown[0]!r}. Known: test, tasks, chromium.")
    if sys.version_info < OLDEST:
        have = ".".join(map(str, sys.version_info[:3]))
        return _refuse(f"Retort needs Python 3.11 or newer; this is {have}. Say which: make run PYTHON=python3.12")
    try:
        with _alone():
            make_environment()
            for group in ("product", *(w for w in wanted if w in GROUPS)):
                install(group)
    except Refusal as refusal:
        return _refuse(str(refusal))
    if "chromium" in wanted:
        find_chromium()
    return 0


def make_environment() -> None:
    """Creates `.venv`, or makes it anew where its Python is gone or its creation was interrupted."""
    if PYTHON.exists() and subprocess.run([PYTHON, "-c", "import pip"], capture_output=True).returncode == 0:
        return
    if ENVIRONMENT.exists():
        if not (ENVIRONMENT / "pyvenv.cfg").exists() and any(ENVIRONMENT.iterdir()):
            raise Refusal(
                "The folder .venv is not a Python environment. Move it away, then run the same command again."
            )
        shutil.rmtree(ENVIRONMENT)
    if shutil.disk_usage(ROOT).free < FREE_BYTES:
        raise Refusal(
            f"The environment needs at least {FREE_BYTES / 1e9:.0f} GB of disk. Free some space, then try again."
        )
    _need_venv()
    _say("Making the environment in .venv")
    if subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT]).returncode != 0:
        raise Refusal("Python could not make an environment; its message is above. Mend that, then try again.")


def install(group: str) -> None:
    """Installs one requirement file unless it is installed already; torch first, alone."""
    path = ROOT / GROUPS[group]
    state = ENVIRONMENT / "installed.json"
    done = _read(state)
    now = fingerprint(path)
    if done.get(group) == now:
        return
    done.pop(group, None)
    _write(state, done)  # interrupted from here on: the next call installs again
    lines = [line.strip() for line in path.read_text().splitlines()]
    for first in (line for line in lines if line.startswith("torch==")):
        _say(f"Installing {first}, the largest part")
        _pip(first)
    _say(f"Installing {path.name}")
    _pip("-r", str(path))
    _write(state, {**done, group: now})


def fingerprint(path: Path) -> str:
    """A hash of all that decides what an install of `path` brings."""
    parts = [path.read_bytes(), CONSTRAINTS.read_bytes(), sys.version.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def find_chromium() -> bool:
    """True where a browser for the browser tests is here, or apt could install it; says what is skipped if not."""
    if any(shutil.which(name) for name in BROWSERS):
        return True
    if not _apt("chromium"):
        _say(
            "No Chromium here, and apt cannot install it: the browser tests will be skipped. "
            "Install Chromium (on Debian and Ubuntu, as root: apt-get install chromium) to run them."
        )
        return False
    return True


def _need_venv() -> None:
    """Debian ships venv apart from Python: installs it where apt can, else says what to install."""
    if _has_venv():
        return
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    if not (_apt(name) and _has_venv()):
        raise Refusal(
            "This Python cannot make environments: its venv module is missing. "
            f"Install it (on Debian and Ubuntu, as root: apt-get install {name}), then try again."
        )


def _has_venv() -> bool:
    # A fresh interpreter: this one would remember that the module was missing.
    return subprocess.run([sys.executable, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0


def _apt(package: str) -> bool:
    """Installs a system package where apt is here and this is root (or sudo asks nothing). True on success."""
    apt = shutil.which("apt-get")
    if not apt:
        return False
    prefix: list[str] = []
    if os.geteuid() != 0:
        sudo = shutil.which("sudo")
        if not sudo or subprocess.run([sudo, "-n", "true"], capture_output=True).returncode != 0:
            return False
        prefix = [sudo, "-n"]
    _say(f"Installing {package} with apt")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package]):
        run = subprocess.run([*prefix, apt, *words], env=quiet, capture_output=True, text=True)
    if run.returncode != 0:
        _say(f"apt could not install {package}: {(run.stderr.strip() or 'no message').splitlines()[-1]}")
    return run.returncode == 0


def _pip(*words: str) -> None:
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if subprocess.run([*command, "-c", str(CONSTRAINTS), *words]).returncode != 0:
        raise Refusal(
            f"pip could not install {words[-1]}; its message is above. "
            "Check the network connection and the free disk, then run the same command again."
        )


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One install at a time: `make run` and `make test` may be started together."""
    handle = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(state: Path) -> dict[str, str]:
    try:
        return dict(json.loads(state.read_text()))
    except (OSError, ValueError):
        return {}


def _write(state: Path, done: dict[str, str]) -> None:
    fresh = state.with_suffix(f".{os.getpid()}.new")  # core/base/durable_files.py is not to be had yet
    with fresh.open("w") as file:
        file.write(json.dumps(done, indent=1))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(state)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _refuse(sentence: str) -> int:
    _say(sentence)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
