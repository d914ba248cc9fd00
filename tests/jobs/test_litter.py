"""What killed writers left is removed, and only that."""

from __future__ import annotations

import os
import time
from pathlib import Path

from core.base.settings import Settings
from core.jobs.cleanup import OLD, sweep_up


def write(path: Path, age: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 1000)
    then = time.time() - age
    for p in (path, path.parent):
        os.utime(p, (then, then))
    return path


def test_only_what_nobody_can_still_be_writing_goes(home: Settings) -> None:
    base, old = home.home, OLD + 60
    gone = [
        write(base / "candidates/k1/.model.1a2b3c4d.tmp/model.safetensors", old).parent,
        write(base / "candidates/k1/.result.json.77.partial", old),
        write(base / "runs/r1/checkpoints/k2/.1a2b3c4d.tmp/weights.safetensors", old).parent,
        write(base / "runs/r1/exports/.0-gguf.partial/model.gguf", old).parent,
        write(base / "cache/statistics/k3/block-0.tmp", old),
    ]
    stays = [
        write(base / "candidates/k4/.model.5e6f7a8b.tmp/model.safetensors"),
        write(base / "candidates/k4/result.json", old),
        write(base / "candidates/k4/model/model.safetensors", old),
        write(base / "runs/r1/checkpoints/k2/step-00000010/weights.safetensors", old),
        write(base / "models/mine.tmp", old),
    ]
    # Something inside is still being written, though the folder is old.
    fresh = write(base / "candidates/k5/.model.9c0d1e2f.tmp/model.safetensors", old)
    os.utime(fresh)
    assert sweep_up(home) == len(gone)
    assert not any(p.exists() for p in gone) and all(p.exists() for p in [*stays, fresh])
    assert sweep_up(home) == 0
