"""The trim step of a recipe: a smaller vocabulary, for the texts that a model will really read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.base.text import one_line
from core.recipe.parts import Corpus, Name, StepName, Strict


class TrimTexts(Corpus):
    """Texts whose tokens stay."""

    split: Name | None = "training"

    @property
    def named(self) -> str:
        """What a sentence calls it."""
        return one_line(self.data, 60)


class Trim(Strict):
    """Keeps the tokens that stand at least `floor` times in `texts`, and what the tokenizer needs to write any text."""

    step: Literal["trim"] = "trim"
    name: StepName = ""
    texts: tuple[TrimTexts, ...] = Field((TrimTexts(),), min_length=1, max_length=100)
    floor: int = Field(1, ge=1, le=1_000_000_000)

    @property
    def named(self) -> str:
        """What a sentence calls its texts."""
        first, more = self.texts[0].named, len(self.texts) - 1
        return first if not more else f"{first} and {more} more"

    def label(self, tokens: int | None = None) -> str:
        """What is done; with the number of tokens that stayed once it is known."""
        size = "" if tokens is None else f" of {tokens:,} tokens"
        often = "" if self.floor == 1 else f", seen {self.floor:,} times"
        return self.name or f"Vocabulary{size} for {self.named}{often}"
