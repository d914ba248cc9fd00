"""Tokens a second of distillation against the plain Hugging Face way, in the same run on the same batches.

    python -m benchmarks.distil [--model sample:smollm2-135m] [--layers 26] [--batch 4] [--length 512] [--rounds 4]

The plain way: the teacher's and the student's full logits, log-softmax of both, KL at temperature 1 over the
counted tokens, one backward pass, AdamW; in the number format Retort uses (plain) and in float32, the default
(plain32), and, where it is installed, TRL's trainer (`benchmarks.trl_way`). Retort: the same loss and the same
update, once with the teacher live and once with its 64 likeliest tokens stored. Same models and batches; the ways
take turns round by round, and the median round counts. Peak memory is that of a fresh process that does two steps
one way.
"""

from __future__ import annotations

import argparse
import copy
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from benchmarks import trl_way
from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.references import resolve
from core.engine.distil.batches import Windows
from core.engine.distil.loss_terms import loss_terms
from core.engine.distil.objective import Normalisers, Objective
from core.engine.distil.outputs import Outputs
from core.engine.distil.packing import packed
from core.engine.distil.student import design_student
from core.engine.distil.teacher import LiveTeacher, Teacher
from core.engine.distil.teacher_cache import build_cache
from core.engine.distil.teacher_cache_reader import CachedTeacher
from core.engine.models.load import Loaded, load_model
from core.recipe.distil import Design, TeacherCache, Term
from core.recipe.recipe import Corpus

WAYS = ("plain", "plain32", "live", "stored")


@dataclass
class Setup:
    """Teacher in the compute dtype, a float32 student, and the text."""

    teacher: Loaded
    student: PreTrainedModel
    windows: Windows
    batch: int
    half: bool
    cache: Path


def main() -> None:
    """Times all ways in turn and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sample:smollm2-135m")
    parser.add_argument("--layers", type=int, default=26)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--memory-of", choices=WAYS, help="do two steps this way and print the peak memory")
    parser.add_argument("--cache", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setup = prepare(args, args.cache or Path(folder))
        if args.memory_of:
            step = stepper(args.memory_of, setup)
            for number in range(2):
                step(number)
            print(peak_of_this_process())
            return
        report(args, setup)


def prepare(args: argparse.Namespace, cache: Path) -> Setup:
    """Loads the teacher and designs the student."""
    from core.engine.data.corpora import load_texts

    settings = Settings.load()
    teacher = load_model(resolve(args.model, settings, LOCAL).folder)
    student = design_student(teacher, Design(layers=args.layers), None, None, InMemoryReporter()).loaded.model.float()
    texts = load_texts(Corpus(split="training"), settings, LOCAL)
    windows = Windows(packed(texts[:400], teacher.tokenizer, args.length)[: args.batch * (args.rounds + 1)])
    return Setup(teacher, student, windows, args.batch, teacher.dtype == torch.bfloat16, cache)


def stepper(way: str, setup: Setup) -> Callable[[int], float]:
    """A function that does training step `number` on a student of its own and returns the loss."""
    student = copy.deepcopy(setup.student).train()
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-5, fused=True)
    learn = plain(setup, student, way) if way.startswith("plain") else retort(way, setup, student)

    def step(number: int) -> float:
        loss = learn(list(range(number * setup.batch, (number + 1) * setup.batch)))
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return step


def plain(setup: Setup, student: PreTrainedModel, way: str) -> Callable[[list[int]], float]:
    """The ordinary way: full logits of both models."""
    half = setup.half and way == "plain"
    teacher = setup.teacher.model.requires_grad_(False)
    teacher = teacher if half or not setup.half else copy.deepcopy(teacher).float()

    def learn(numbers: list[int]) -> float:
        ids = setup.windows.ids[numbers]
        with torch.no_grad():
            wanted = teacher(input_ids=ids, use_cache=False).logits[:, :-1].float()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            found = student(input_ids=ids, use_cache=False).logits[:, :-1].float()
        loss = F.kl_div(
            found.log_softmax(-1).flatten(0, 1),
            wanted.log_softmax(-1).flatten(0, 1),
            log_target=True,
            reduction="batchmean",
        )
        loss.backward()
        return float(loss.detach())

    return learn


def retort(way: str, setup: Setup, student: PreTrainedModel) -> Callable[[list[int]], float]:
    """Retort's objective, with the live or the stored teacher."""
    live = LiveTeacher(Outputs(setup.teacher.model, "causal"))
    teacher_outputs: Teacher = live
    if way == "stored":
        spec = TeacherCache(k=64)
        everything = range(setup.windows.count)
        made = build_cache(
            live, setup.windows, spec, [1.0], "benchmark", setup.cache, setup.batch, InMemoryReporter(), everything
        )
        teacher_outputs = CachedTeacher(made, spec, student.device)
    student.eval()
    objective = Objective(
        Outputs(student, "causal", half=setup.half), teacher_outputs, loss_terms([Term(loss="logit_kl")])
    )
    student.train()

    def learn(numbers: list[int]) -> float:
        batch = setup.windows.take(numbers, 0)
        return float(objective.backward(batch, Normalisers.of([batch]))["logit_kl"])

    return learn


def report(args: argparse.Namespace, setup: Setup) -> None:
    """Interleaved rounds, then the table."""
    seconds, losses = timed(args, setup)
    tokens = args.batch * args.length
    speed = {way: tokens / statistics.median(times) for way, times in seconds.items()}
    for way in ("live", *(["trl"] if "trl" in losses else [])):
        assert abs(losses[way] / losses["plain"] - 1) < 0.02, f"the ways do not learn the same: {losses}"
    rate = matrix_rate(setup.half)
    print(f"{args.model}, student of {args.layers} layers, batch {args.batch} x {args.length}, {args.rounds} rounds")
    print(f"{'bfloat16' if setup.half else 'float32'}, {torch.get_num_threads()} threads")
    print(f"matrix products here: {rate / 1e9:.0f} GFLOP/s")
    print(f"{'way':8} {'tokens/s':>9} {'ratio':>6} {'of bound':>9} {'peak memory':>12} {'loss':>8}")
    for way in speed:
        share = speed[way] * flops_per_token(setup, way != "stored") / rate
        peak = f"{peak_memory(way, args, setup.cache) / 1e9:9.2f} GB" if way in WAYS else f"{'-':>12}"
        print(f"{way:8} {speed[way]:9.1f} {speed[way] / speed['plain']:5.2f}x {share:9.0%} {peak} {losses[way]:8.4f}")
    print(f"stored against live: {speed['stored'] / speed['live']:.2f}x")
    if "trl" in speed:
        print(f"live against TRL: {speed['live'] / speed['trl']:.2f}x")


def timed(args: argparse.Namespace, setup: Setup) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of each way's steps but the first, which warms up, and the loss of its last."""
    steps = {way: stepper(way, setup) for way in WAYS}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    losses: dict[str, float] = {}

    def turn(number: int) -> None:
        for way, step in steps.items():
            started = time.perf_counter()
            losses[way] = step(number)
            if number:
                seconds[way].append(time.perf_counter() - started)

    if trl_way.installed():
        student, teacher = copy.deepcopy(setup.student).train(), setup.teacher
        ids = torch.as_tensor(setup.windows.ids)
        taken, losses["trl"] = trl_way.run(student, teacher.model, teacher.tokenizer, ids, args.batch, setup.half, turn)
        seconds["trl"] = taken[1:]
    else:
        print("TRL is not installed: no comparison with its trainer.")
        for number in range(args.rounds + 1):
            turn(number)
    return seconds, losses


def flops_per_token(setup: Setup, live: bool) -> float:
    """Multiply-adds of the matrices and attention, two operations each: 3 passes of the student, 1 of the teacher."""
    length = setup.windows.ids.shape[1]

    def forward(model: PreTrainedModel) -> float:
        config = model.config
        attention = 2 * length * config.hidden_size * config.num_hidden_layers  # causal: half of all pairs
        return float(2 * sum(p.numel() for p in model.parameters() if p.ndim == 2) + attention)

    return 3 * forward(setup.student) + (forward(setup.teacher.model) if live else 0.0)


def matrix_rate(half: bool) -> float:
    """The best rate this machine multiplies matrices at, operations a second."""
    a = torch.randn(2048, 2048, dtype=torch.bfloat16 if half else torch.float32)
    best = 0.0
    for _ in range(8):
        started = time.perf_counter()
        a @ a
        best = max(best, 2 * 2048**3 / (time.perf_counter() - started))
    return best


def peak_of_this_process() -> int:
    """Peak resident bytes. Linux carries the parent's peak over into `ru_maxrss`, so its own record is read there."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def peak_memory(way: str, args: argparse.Namespace, cache: Path) -> int:
    """Peak resident bytes of a fresh process that does two steps one way."""
    command = [sys.executable, "-m", "benchmarks.distil", "--memory-of", way, "--cache", str(cache)]
    for name in ("model", "layers", "batch", "length", "rounds"):
        command += [f"--{name}", str(getattr(args, name))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
