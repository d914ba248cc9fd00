"""Two processes that share every step learn the same as one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.engine.distil.batches import Windows
from core.engine.models.load import Loaded
from scripts.dashboard import free_port

CHILD = """
import sys
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
from core.recipe.distil import TrainingBudget, Distil, Schedule, Term, TrainingData
from core.engine.distil.batches import Answers
from core.engine.distil.run import TrainContext, distil
from core.engine.models.load import load_model
from core.base.progress import InMemoryReporter

folder = Path(sys.argv[1])
teacher, student = load_model(folder / "teacher", "float32"), load_model(folder / "student", "float32")
ids = load_file(folder / "ids.safetensors")["ids"]
# Of some sequences only a few tokens count, so the processes' shares of a step are of different size.
rows = [(row, torch.arange(24) >= (20 if i % 3 else 0)) for i, row in enumerate(ids)]
spec = Distil(
    losses=(Term(loss="soft_labels"), Term(loss="hidden_mse"), Term(loss="cross_entropy")), batch=6,
    data=TrainingData(length=24), budget=TrainingBudget(steps=6), held_out=6, checkpoint_every=3, evaluate_every=3,
    schedule=Schedule(learning_rate=1e-3),
)
around = TrainContext(folder / sys.argv[2], folder / "cache", InMemoryReporter(), "s", "t")
distil(student, teacher, spec, Answers(rows, padding=0), around)
save_file({n: p.detach().contiguous() for n, p in student.model.named_parameters()}, folder / sys.argv[3])
"""


def start(folder: Path, run: str, ranks: int) -> list[subprocess.Popen[bytes]]:
    common = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
    if ranks > 1:
        common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(ranks)}
    return [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder), run, f"{run}-{rank}.safetensors"],
            env=common | ({"RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else {}),
        )
        for rank in range(ranks)
    ]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(
    teacher: Loaded, student: Loaded, windows: Windows, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    for name, loaded in (("teacher", teacher), ("student", student)):
        loaded.model.save_pretrained(tmp_path / name)
        loaded.tokenizer.save_pretrained(tmp_path / name)
    save_file({"ids": windows.ids.contiguous()}, tmp_path / "ids.safetensors")
    for process in [*start(tmp_path, "one", 1), *start(tmp_path, "two", 2)]:
        assert process.wait(timeout=300) == 0
    one, first, second = (load_file(tmp_path / f"{n}.safetensors") for n in ("one-0", "two-0", "two-1"))
    moved = 0.0
    for name, weight in student.model.named_parameters():
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(first[name], one[name], rtol=1e-4, atol=1e-5), name
        moved = max(moved, float((one[name] - weight.detach()).abs().max()))
    assert moved > 1e-3
