"""How a trimmed tokenizer cuts texts beside the one it came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from tokenizers import Encoding, Tokenizer

_AT_ONCE = 256  # texts encoded together


@dataclass(frozen=True)
class Cut:
    """Attributes:
    characters: of the texts, as far as tokens cover them.
    as_before: those of them that lie in tokens which both tokenizers cut.
    before, after: tokens in all.
    """

    characters: int
    as_before: int
    before: int
    after: int

    @property
    def share(self) -> float:
        """The share of the characters cut as before, 0 to 1."""
        return self.as_before / self.characters if self.characters else 1.0

    @property
    def longer(self) -> float:
        """By how much of its tokens the text grows: 0.02 for 2 %."""
        return self.after / self.before - 1.0 if self.before else 0.0


def counted(texts: Iterable[str], tokenizer: Tokenizer) -> Counter[str]:
    """How often each token stands in the texts."""
    found: Counter[str] = Counter()
    for encoding in _encoded(texts, tokenizer):
        found.update(encoding.tokens)
    return found


def compared(texts: Iterable[str], before: Tokenizer, after: Tokenizer) -> Cut:
    """Both tokenizers on the same texts."""
    texts = list(texts)
    sums = [0, 0, 0, 0]
    for one, other in zip(_encoded(texts, before), _encoded(texts, after), strict=True):
        mine, theirs = (Counter(zip(e.offsets, e.tokens, strict=True)) for e in (one, other))
        both = [span for span, _ in mine & theirs]
        sums = [
            sums[0] + _covered([span for span, _ in mine]),
            sums[1] + _covered(both),
            sums[2] + len(one.tokens),
            sums[3] + len(other.tokens),
        ]
    return Cut(*sums)


def _covered(spans: Iterable[tuple[int, int]]) -> int:
    """Characters inside any of the spans."""
    total = end = 0
    for start, stop in sorted(spans):
        total += max(0, stop - max(start, end))
        end = max(end, stop)
    return total


def _encoded(texts: Iterable[str], tokenizer: Tokenizer) -> Iterator[Encoding]:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    left = iter(texts)
    while part := list(islice(left, _AT_ONCE)):
        yield from tokenizer.encode_batch(part, add_special_tokens=False)
