"""A teacher's largest log-probabilities, stored once and reused by any student and any number of restarts.

Stored are the sequences that a training's budget reads (`Order.reads`), not the whole text; a longer one adds its own.
A folder holds `index.json` and safetensors shards. For the counted tokens of each sequence, in order:

    ids        (tokens, k)             the k likeliest next tokens
    log_p      (tokens, k)             their log-probability at temperature 1
    log_z      (tokens, temperatures)  log of the sum over the whole vocabulary of p^(1/T)
    log_tail   (tokens, temperatures)  log-probability at T of everything that is not among the k
    offsets    (sequences + 1,)        where each sequence's tokens start

`log_z` makes the k probabilities at each T those of the full distribution, not of the k alone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from core.base.durable_files import make_folder, replacing
from core.base.errors import Impossible, RetortError
from core.base.integrity import damage, write_sealed
from core.base.progress import Reporter
from core.engine.distil.batches import Answers, Examples, LabelledExamples, Windows
from core.engine.distil.divergences import log_probabilities
from core.engine.distil.teacher import LiveTeacher
from core.engine.distil.teacher_cache_reader import INDEX, Index, Shard, file_hash
from core.recipe.distil import TeacherCache

_FORMAT = 2
"""Raise when what a folder holds is laid out otherwise: it is then made anew."""
_SHARD_TOKENS = 65_536
_FLOOR = -1e4  # stands for a tail without any probability: its exponential is exactly 0


@dataclass(frozen=True)
class _Plan:
    """Everything that decides what is stored."""

    spec: TeacherCache
    k: int
    temperatures: tuple[float, ...]
    id_type: torch.dtype
    value_type: torch.dtype

    def bytes_per_token(self) -> int:
        return self.k * (self.id_type.itemsize + self.value_type.itemsize) + 8 * len(self.temperatures)


def build_cache(
    teacher: LiveTeacher,
    examples: Examples,
    spec: TeacherCache,
    temperatures: Sequence[float],
    fingerprint: str,
    parent: Path,
    batch: int,
    reporter: Reporter,
    wanted: Sequence[int],
) -> Path:
    """Stores what is still missing and returns the folder, `parent / key`. Stopped halfway, it goes on there.

    Args:
        temperatures: those the losses use.
        fingerprint: identifies the teacher's bytes.
        batch: sequences the teacher reads at once.
        wanted: numbers of the sequences that will be read.
    Raises:
        RetortError: the data is streamed or masked anew each time, or the disk is too small.
    """
    if not isinstance(examples, Windows | Answers | LabelledExamples):
        raise Impossible(
            "A stored teacher needs sequences that stay the same, and these are streamed or masked anew each time.",
            "Use the live teacher, or turn streaming off.",
        )
    plan = _plan(teacher, spec, temperatures)
    key = _key(plan, examples, fingerprint)
    folder = parent / key
    make_folder(folder)
    index = _usable(folder, key, plan, teacher.outputs.classes, examples.count, reporter)
    stored = index.stored
    counted = {i: int(examples.take([i], 0).scored.sum()) for i in sorted(set(wanted) - stored)}
    _check_disk(folder, sum(counted.values()) * plan.bytes_per_token())
    have = len(set(wanted) & stored)
    for numbers in _groups(counted):
        tensors, mass = _compute(teacher, examples, plan, numbers, batch, reporter)
        index.shards.append(_write_shard(folder, numbers, tensors, mass))
        have += len(numbers)
        write_sealed(folder / INDEX, index.model_dump_json(indent=1))
        total = len(set(wanted))
        reporter.progress(have, total, f"Stored the teacher's answers for {have:,} of {total:,} sequences")
    return folder


def _plan(teacher: LiveTeacher, spec: TeacherCache, temperatures: Sequence[float]) -> _Plan:
    classes = teacher.outputs.classes
    wanted = tuple(sorted({1.0, *temperatures}))
    value = torch.float16 if spec.precision == "float16" else torch.float32
    return _Plan(spec, min(spec.k, classes), wanted, torch.uint16 if classes <= 1 << 16 else torch.int32, value)


def _key(plan: _Plan, examples: Windows | Answers | LabelledExamples, fingerprint: str) -> str:
    digest = hashlib.sha256()
    parts = [_FORMAT, fingerprint, plan.k, plan.temperatures, str(plan.id_type), str(plan.value_type)]
    digest.update(json.dumps(parts).encode())
    for i in range(examples.count):
        batch = examples.take([i], 0)
        for tensor in (batch.ids, batch.scored):
            digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]


def _groups(counted: Mapping[int, int]) -> Iterator[list[int]]:
    """The sequences of each shard: about `_SHARD_TOKENS` counted tokens."""
    group: list[int] = []
    tokens = 0
    for number, count in counted.items():
        group.append(number)
        tokens += count
        if tokens >= _SHARD_TOKENS:
            yield group
            group, tokens = [], 0
    if group:
        yield group


def _usable(folder: Path, key: str, plan: _Plan, classes: int, sequences: int, reporter: Reporter) -> Index:
    """The index with every shard whose file is whole; damaged ones are dropped, and said."""
    temperatures = list(plan.temperatures)
    fresh = Index(key=key, k=plan.k, classes=classes, temperatures=temperatures, sequences=sequences)
    wrong = damage(folder / INDEX)
    if wrong is not None:
        reporter.event("warning", f"The list of the stored teacher files is damaged ({wrong}): all are made again.")
        return fresh
    try:
        index = Index.model_validate_json((folder / INDEX).read_text())
    except (OSError, ValueError):
        return fresh
    whole = [s for s in index.shards if file_hash(folder / s.file) == s.sha256]
    damaged = len(index.shards) - len(whole)
    if damaged:
        reporter.event("warning", f"{damaged} stored teacher files were damaged and are made again.")
    return index.model_copy(update={"shards": whole})


def _check_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free * 0.95:
        raise RetortError(
            f"Storing the teacher's answers takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB of disk is free.",
            "Store fewer probabilities a token, use less text, or use the live teacher.",
        )


@torch.no_grad()
def _compute(
    teacher: LiveTeacher, examples: Examples, plan: _Plan, numbers: Sequence[int], batch: int, reporter: Reporter
) -> tuple[dict[str, Tensor], float]:
    parts: list[dict[str, Tensor]] = []
    counts: list[Tensor] = []
    for start in range(0, len(numbers), batch):
        reporter.checkpoint()
        part = examples.take(numbers[start : start + batch], 0)
        counts.append(part.scored.sum(1))
        on_device = part.to(teacher.outputs.device)
        for rows in teacher.rows(on_device, on_device.scored, teacher.outputs.chunk):
            parts.append(_stored(log_probabilities(rows.logits), plan))
    tensors = {name: torch.cat([p[name] for p in parts]) for name in parts[0]}
    mass = float(tensors["log_p"].double().exp().sum())
    tensors["offsets"] = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cat(counts).cumsum(0)])
    return tensors, mass


def _stored(log_p: Tensor, plan: _Plan) -> dict[str, Tensor]:
    """What is kept of log-probabilities `(n, classes)`."""
    values, ids = log_p.topk(plan.k, dim=-1)  # (n, k)
    rest = log_p.scatter(1, ids, float("-inf"))
    log_z = torch.stack([(log_p / t).logsumexp(1) for t in plan.temperatures], 1)  # (n, temperatures)
    tail = torch.stack([(rest / t).logsumexp(1) for t in plan.temperatures], 1) - log_z
    stored = {"log_p": values.to(plan.value_type), "log_z": log_z.float(), "log_tail": tail.float().clamp_min(_FLOOR)}
    return {name: t.cpu() for name, t in stored.items()} | {"ids": ids.cpu().to(torch.int32).to(plan.id_type)}


def _write_shard(folder: Path, numbers: list[int], tensors: dict[str, Tensor], mass: float) -> Shard:
    path = folder / f"sequences-{numbers[0]:08d}-{numbers[-1] + 1:08d}.safetensors"
    with replacing(path) as temporary:
        save_file(tensors, temporary)
        sha256 = file_hash(temporary)
    size, tokens = path.stat().st_size, tensors["ids"].shape[0]
    return Shard(file=path.name, numbers=numbers, sha256=sha256, tokens=tokens, bytes=size, mass=mass)
