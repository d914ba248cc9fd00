"""Deliberate small faults: each is put into a copy of the code alone, and the tests named beside it have to fail.

python -m scripts.faults --only joins

The lists are `scripts/faults/*.yaml`: what is wrong (`says`), the `file`, its text `before` and `after`, the `tests`.
One that no test can catch says why as `explained` and is counted apart. The exit status is 1 below 95 %, or where an
entry no longer applies: its text is not there exactly once, or its tests fail without any fault.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import yaml
from pydantic import BaseModel, ConfigDict, Field

ROOT = Path(__file__).resolve().parents[1]
LISTS = ROOT / "scripts" / "faults"
SHARE = 0.95  # of the faults that a test could catch, how many must be caught
Tests = tuple[str, ...]


class Fault(BaseModel):
    """One entry of a list; `list` is the name of the list."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    list: str
    says: str
    file: str
    before: str = Field(min_length=1)
    after: str
    tests: Tests = Field(min_length=1)
    explained: str = ""

    def problem(self, root: Path = ROOT) -> str | None:
        """Why it cannot be put into the code under `root`; None where it can."""
        path = root / self.file
        times = path.read_text("utf-8").count(self.before) if path.is_file() else 0
        gone = [test for test in self.tests if not (root / test.split("::")[0]).exists()]
        if times != 1:
            return f"its text occurs {times} times in {self.file}"
        return f"there is no {gone[0]}" if gone else None


def listed(only: list[str] | None = None) -> list[Fault]:
    """Every fault of the lists, or of those named."""
    paths = [p for p in sorted(LISTS.glob("*.yaml")) if not only or p.stem in only]
    return [Fault(list=p.stem, **entry) for p in paths for entry in yaml.safe_load(p.read_text("utf-8"))]


def copied(to: Path) -> Path:
    """A folder with the files that git knows or would know, as they are now."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0"):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


def tested(tree: Path, tests: Tests, limit: float | None = None) -> tuple[int | None, str]:
    """pytest's exit status in `tree`, None beyond `limit` seconds; and the end of what it said."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=tree, env=env, stdout=said, stderr=said, start_new_session=True)
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = None
        said.seek(0)
        return status, said.read().decode(errors="replace")[-1500:]


def tried(fault: Fault, tree: Path, limit: float) -> tuple[str, str]:
    """What became of a fault (caught, missed, error), and a word on it. The file is put back."""
    path = tree / fault.file
    whole = path.read_text("utf-8")
    try:
        path.write_text(whole.replace(fault.before, fault.after), "utf-8")
        status, said = tested(tree, fault.tests, limit)
    finally:
        path.write_text(whole, "utf-8")
    if status not in (None, 0, 1, 2):  # 2: the fault shows when the tests are imported
        return "error", said
    if fault.explained:
        return ("error", "it is caught: drop `explained`") if status != 0 else ("explained", fault.explained)
    return "missed" if status == 0 else "caught", "" if status is not None else f"not done within {limit:.0f} s"


def hunt(faults: list[Fault], folder: Path, jobs: int) -> Counter[str]:
    """Every set of tests once without a fault, then every fault alone: how many were caught, missed and so on."""
    seconds, broken, trees = dict[Tests, float](), dict[Tests, str](), SimpleQueue[Path]()
    for job in range(jobs):
        trees.put(copied(folder / str(job)))

    def unchanged(tests: Tests) -> None:
        tree, began = trees.get(), time.monotonic()
        status, said = tested(tree, tests)
        seconds[tests] = time.monotonic() - began
        broken.update({tests: f"its tests fail without it\n{said}"} if status else {})
        trees.put(tree)

    def outcome(fault: Fault) -> str:
        tree = trees.get()
        problem = fault.problem(tree) or broken.get(fault.tests)
        kind, word = ("error", problem) if problem else tried(fault, tree, max(300, 10 * seconds[fault.tests]))
        print(f"{kind:<9} {fault.list}: {fault.says}" + (f" ({word})" if word else ""), flush=True)
        trees.put(tree)
        return kind

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(unchanged, {f.tests for f in faults if not f.problem()}))
        return Counter(pool.map(outcome, faults))


def main(arguments: list[str] | None = None) -> int:
    """Reads the options and runs it."""
    parser = argparse.ArgumentParser(prog="python -m scripts.faults", description="Do the tests notice small faults?")
    parser.add_argument("--only", action="append", metavar="NAME", help="only scripts/faults/NAME.yaml")
    parser.add_argument("--list", action="store_true", help="name the faults and run nothing")
    parser.add_argument("--jobs", type=int, default=2, help="how many are tried side by side (default: 2)")
    chosen = parser.parse_args(arguments)
    faults = listed(chosen.only)
    if chosen.list:
        print("\n".join(f"{f.list}: {f.says} [{f.problem() or 'applies'}]" for f in faults))
        return int(any(f.problem() for f in faults))
    with tempfile.TemporaryDirectory(prefix="retort-faults-") as folder:
        counts = hunt(faults, Path(folder).resolve(), chosen.jobs)
    share = counts["caught"] / max(1, counts["caught"] + counts["missed"])
    print(", ".join(f"{counts[k]} {k}" for k in ("caught", "missed", "explained", "error")) + f": {share:.1%} caught")
    return int(share < SHARE or counts["error"] > 0)


if __name__ == "__main__":
    sys.exit(main())
