"""Sequences that a model writes itself: the student's during training, or the teacher's once before it."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.base.durable_files import make_folder, write
from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.data.framing import frame_for
from core.engine.distil.batch_sampler import seed_for
from core.engine.distil.batches import IGNORED, Answers, Batch, Examples
from core.engine.distil.outputs import Outputs
from core.engine.models.load import Loaded
from core.engine.models.plain_generation import end_tokens, padding_token, plain_generation
from core.engine.models.shared_tokens import SharedTokens
from core.recipe.distil import OnPolicy, TeacherTexts

log = logging.getLogger("retort")
_WAY = "own generation settings"
"""How texts are written; those stored before followed the teacher's generation settings."""


@torch.no_grad()
def continue_text(
    outputs: Outputs, prompts: Tensor, length: int, temperature: float, seed: int, never: Sequence[int] = ()
) -> tuple[Tensor, Tensor]:
    """Continues prompts `(batch, prompt)` up to `length` tokens; returns `(ids, attended)`, `(batch, length)` both.

    A sequence ends with the model's end-of-text token; what follows it is padding. `temperature` 0 takes
    the likeliest token. The same seed gives the same text. Nothing else of the model's generation settings counts.
    Tokens in `never` are not written.
    """
    model: Any = outputs.model
    training = model.training
    model.eval()  # in training, gradient checkpointing would switch the key-value cache off
    sampling: dict[str, Any] = {"do_sample": False}
    if temperature:
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    if never:
        sampling["suppress_tokens"] = list(never)
    with torch.random.fork_rng(), outputs.precision(), plain_generation(model):
        torch.manual_seed(seed)
        written = model.generate(
            prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=length - prompts.shape[1], **sampling
        )
    model.train(training)
    short = length - written.shape[1]
    ids = torch.nn.functional.pad(written, (0, short), value=padding_token(model))
    return ids, _attended(ids, prompts.shape[1], end_tokens(model), written.shape[1])


def _attended(ids: Tensor, prompt: int, ends: Sequence[int], written: int) -> Tensor:
    """True for the tokens up to and including the first end of text after the prompt."""
    if not ends:
        return torch.arange(ids.shape[1], device=ids.device).expand_as(ids) < written
    ended = torch.isin(ids, torch.tensor(ends, device=ids.device))
    ended[:, :prompt] = False
    return (ended.cumsum(1) - ended.long() == 0) & (torch.arange(ids.shape[1], device=ids.device) < written)


def on_policy(outputs: Outputs, batch: Batch, spec: OnPolicy, seed: int, never: Sequence[int] = ()) -> Batch:
    """Replaces a share of the sequences by the student's own continuation of their first tokens (GKD).

    Only what the student wrote is compared there, and it has no gold labels. Tokens in `never` are those its teacher
    could not read.
    """
    generator = torch.Generator().manual_seed(seed)
    length = batch.ids.shape[1]
    chosen = torch.rand(batch.ids.shape[0], generator=generator) < spec.share  # (batch,)
    chosen &= batch.attended[:, : spec.prompt + 1].sum(1) > spec.prompt  # too short to be continued
    if not chosen.any():
        return batch
    prompts = batch.ids[chosen, : spec.prompt].to(outputs.device)
    ids, attended = (t.cpu() for t in continue_text(outputs, prompts, length, spec.temperature, seed, never))
    new_ids, new_attended = batch.ids.clone(), batch.attended.clone()
    new_ids[chosen], new_attended[chosen] = ids, attended
    written = attended.clone()
    written[:, : spec.prompt] = False
    ahead = written.roll(-1, 1)  # row t predicts t + 1
    ahead[:, -1] = False
    targets, scored, index = batch.targets.clone(), batch.scored.clone(), batch.index.clone()
    targets[chosen], scored[chosen], index[chosen] = IGNORED, ahead, -1
    return Batch(new_ids, new_attended, targets, scored, scored, index)


def teacher_texts(
    outputs: Outputs,
    examples: Examples,
    spec: TeacherTexts,
    length: int,
    fingerprint: str,
    parent: Path,
    batch: int,
    seed: int,
    reporter: Reporter,
) -> Answers:
    """Lets the teacher continue the first tokens of `spec.sequences` examples, once; stored and resumable.

    Returns:
        Sequences of which what the teacher wrote counts (sequence-level distillation, Kim and Rush 2016).
    Raises:
        RetortError: the examples are too few or shorter than the prompt.
    """
    if examples.count is not None and examples.count < spec.sequences:
        raise RetortError(
            f"The teacher should continue {spec.sequences} texts, and the data has {examples.count}.",
            "Ask for fewer sequences, or use more text.",
        )
    begun = examples.take(range(spec.sequences), 0)
    if not bool(begun.attended[:, : spec.prompt].all()):
        raise RetortError(
            f"Some of the texts have fewer than the {spec.prompt} tokens the teacher should continue.",
            "Ask for a shorter 'prompt', or use longer texts.",
        )
    prompts = begun.ids[:, : spec.prompt]
    identity = [_WAY, fingerprint, spec.model_dump(), length, seed, batch]  # a batch shares its random numbers
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode() + prompts.numpy().tobytes())
    path = parent / f"{digest.hexdigest()[:24]}.jsonl"
    make_folder(path.parent)
    rows = _whole_lines(path, spec.sequences, batch)
    with path.open("a") as file:
        path.chmod(0o600)
        for start in range(len(rows), spec.sequences, batch):
            reporter.checkpoint()
            part = prompts[start : start + batch].to(outputs.device)
            ids, attended = continue_text(outputs, part, length, spec.temperature, seed_for(seed, start))
            new = [row[kept].tolist() for row, kept in zip(ids.cpu(), attended.cpu(), strict=True)]
            file.writelines(_line(row) for row in new)
            file.flush()
            rows += new
            message = f"The teacher has written {len(rows)} of {spec.sequences} texts"
            reporter.progress(len(rows), spec.sequences, message)
    kept = [(torch.tensor(row), torch.arange(len(row)) >= spec.prompt) for row in rows]
    return Answers(kept, padding_token(outputs.model))


def read_by(examples: Examples, shared: SharedTokens | None) -> Examples:
    """The examples under the teacher's numbers."""
    return examples if shared is None else _Read(examples, shared)


@dataclass(frozen=True)
class _Read:
    examples: Examples
    shared: SharedTokens

    @property
    def count(self) -> int | None:
        return self.examples.count

    def take(self, indices: Sequence[int], seed: int) -> Batch:
        batch = self.examples.take(indices, seed)
        return replace(batch, ids=self.shared.read(batch.ids))


def retold(written: Answers, teacher: Loaded, student: Loaded, length: int, framed: bool = False) -> Answers:
    """What a teacher wrote, in the student's tokens: by its text, since a teacher may use tokens the student lacks.

    A text that ended there ends here; longer ones are cut at `length` tokens. `framed`: their special tokens differ, so
    the teacher's are left out and the student's own stand before the text.
    """
    ends, end = end_tokens(teacher.model), student.tokenizer.eos_token_id
    opening = list(frame_for(student.tokenizer, student.task).before) if framed else []
    rows: list[tuple[Tensor, Tensor]] = []
    for ids, counted in written.examples:
        said = ids[counted].tolist()
        ended = bool(said) and said[-1] in ends
        before, after = (
            teacher.tokenizer.decode(part, skip_special_tokens=framed)
            for part in (ids[~counted].tolist(), said[:-1] if ended else said)
        )
        prompt, answer = (student.tokenizer(t, add_special_tokens=False)["input_ids"] for t in (before, after))
        answer = [*answer, end] if ended and end is not None else answer
        prompt = [*opening, *prompt]
        whole = torch.tensor([*prompt, *answer], dtype=torch.int64)[:length]
        rows.append((whole, torch.arange(len(whole)) >= len(prompt)))
    return Answers(rows, padding_token(student.model))


def _whole_lines(path: Path, wanted: int, batch: int) -> list[list[int]]:
    """The rows of an earlier writing, up to the first line that is cut short or damaged; the rest is taken off.

    Where some are missing, only whole batches stay: what is sampled depends on who is in the batch.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    rows: list[list[int]] = []
    for line in lines:
        try:
            row = json.loads(line.partition(b" ")[2])
            if _line(row).encode() != line:
                raise ValueError("its checksum differs")
        except (ValueError, TypeError):
            log.warning("texts of a teacher in %s are damaged from line %d on and are made again", path, len(rows) + 1)
            break
        rows.append(row)
    if len(rows) < wanted:
        rows = rows[: len(rows) // batch * batch]
    if len(rows) < len(lines):
        write(path, "".join(_line(row) for row in rows))
    return rows


def _line(row: Sequence[int]) -> str:
    """A checksum and the tokens."""
    text = json.dumps(row)
    return f"{zlib.crc32(text.encode()):08x} {text}\n"
