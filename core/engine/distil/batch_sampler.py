"""Which sequences each step reads: a function of the seed and the step alone, so nothing has to be remembered."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch

from core.base.errors import RetortError
from core.engine.distil.batches import Batch, Examples
from core.recipe.distil import TrainingBudget


def seed_for(*parts: int) -> int:
    """A seed that differs for each tuple of numbers (seed, step, micro-batch, ...)."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


@dataclass
class Order:
    """Draws batches. The first `held_out` sequences are never trained on.

    A data set is read in a new random order each epoch; a stream is read as it comes.

    Raises:
        RetortError: fewer sequences than are held out, or none left to train on.
    """

    examples: Examples
    held_out: int
    batch: int
    seed: int

    def __post_init__(self) -> None:
        count = self.examples.count
        if count is not None and count <= self.held_out:
            raise RetortError(
                f"The training data has {count} sequences, and {self.held_out} are held out to choose the best step.",
                "Use more text, shorter sequences, or hold out fewer.",
            )
        self._epochs: dict[int, torch.Tensor] = {}

    def held(self) -> Batch:
        """The sequences that are left out of training. For a stream: call it before any step."""
        return self.examples.take(range(self.held_out), seed_for(self.seed, -1))

    def digest(self, held: Batch) -> str:
        """Tells data sets apart by their size and the sequences that are held out."""
        read = hashlib.blake2b(repr(self.examples.count).encode(), digest_size=8)
        for tensor in (held.ids, held.targets):
            read.update(tensor.contiguous().numpy().tobytes())
        return read.hexdigest()

    def reads(self, budget: TrainingBudget) -> list[int]:
        """Numbers of the sequences that a training of this budget reads, those held out among them, ascending.

        Of a budget in minutes nobody knows how far it comes: all of them.
        """
        count = self.examples.count
        assert count is not None, "a stream has no numbers"
        found = set(range(count if budget.minutes is not None else self.held_out))
        step = tokens = 0
        while len(found) < count and (
            step < budget.steps if budget.steps is not None else tokens < (budget.tokens or 0)
        ):
            numbers = [self._number(step * self.batch + i) for i in range(self.batch)]
            found.update(numbers)
            step += 1
            if budget.tokens is not None:
                tokens += sum(self.examples.take([n], 0).tokens for n in numbers)
        return sorted(found)

    def step(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """What step `step` reads; of several processes, the part of process `rank`."""
        numbers = [self._number(step * self.batch + i) for i in range(self.batch)]
        return self.examples.take(numbers[rank::ranks], seed_for(self.seed, step, rank))

    def _number(self, position: int) -> int:
        if self.examples.count is None:
            return self.held_out + position
        epoch, place = divmod(position, self.examples.count - self.held_out)
        return self.held_out + int(self._permutation(epoch)[place])

    def _permutation(self, epoch: int) -> torch.Tensor:
        if epoch not in self._epochs:
            assert self.examples.count is not None
            generator = torch.Generator().manual_seed(seed_for(self.seed, -2, epoch))
            drawn = torch.randperm(self.examples.count - self.held_out, generator=generator)
            # A step can reach into the next epoch; older ones are not needed any more.
            self._epochs = {e: p for e, p in self._epochs.items() if e >= epoch - 1} | {epoch: drawn}
        return self._epochs[epoch]
