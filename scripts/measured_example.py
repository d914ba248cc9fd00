"""Writes a finished study into the file that comes with the product: `python -m scripts.measured_example RUN`.

Measure it on a quiet machine: a study with times taken while others worked is refused.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.analysis.paired_times import busy, timed
from core.base.errors import RetortError
from core.base.settings import Settings
from core.store import Store
from core.store.bundle import pack

TARGET = Path(__file__).resolve().parents[1] / "examples" / "sample-study.json"


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.measured_example", description=__doc__)
    parser.add_argument("run", help="the id of the run")
    parser.add_argument("--home", help="the data folder it lies in")
    parser.add_argument("--machine", default="", help="what the machine is called; default: its processor's name")
    parser.add_argument("--out", type=Path, default=TARGET, help=f"default: {TARGET.name} in examples/")
    parser.add_argument("--busy-too", action="store_true", help="write it although some times were disturbed")
    chosen = parser.parse_args(arguments)
    store = Store(Settings.load(chosen.home))
    try:
        disturbed = [
            r.label
            for r in store.candidates.results(run_id=chosen.run)
            if any(timed(m) and busy(m) for m in r.measurements)
        ]
        if disturbed and not chosen.busy_too:
            raise RetortError(
                f"{len(disturbed)} models were timed while other work kept the machine busy: {', '.join(disturbed)}.",
                f"When it is quiet, time them again with 'python -m core time {chosen.run}', then try again.",
            )
        text = pack(store, chosen.run, chosen.machine)
    except RetortError as error:
        sys.stderr.write(f"{error.cause} {error.remedy}\n")
        return 1
    chosen.out.write_text(text + "\n", "utf-8")
    sys.stdout.write(f"{chosen.out}: {chosen.out.stat().st_size:,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
