"""What of a data set cannot be used: left out, counted, and said."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.base.errors import RetortError
from core.data.rows import Row

TORN = "more fields than columns"
NO_TEXT, NO_LABEL, NO_CONVERSATION = "no text", "no label", "no conversation"
UNTEMPLATED = "a conversation that the model's chat template does not take"
_MOST = 0.1
"""The share of rows that may be torn or refused; beyond it, the file is not what it is taken for."""
_WAYS_OUT = {
    TORN: "Put texts that hold the delimiter into quotes, or save the table again.",
    UNTEMPLATED: "Change these conversations, or name a column with plain text in 'columns'.",
}


@dataclass
class LeftOut:
    """Counts rows that were left out, by the reason; `first` says where the first of each stood."""

    total: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, row: Row, why: str, words: str = "") -> None:
        """One more row that is left out because it has `why` ('no text'); `words` say more about the first."""
        self.counts[why] = self.counts.get(why, 0) + 1
        self.first.setdefault(why, f"{row.place}: {words}" if words else row.place)

    @property
    def sentences(self) -> list[str]:
        """'3 of 40 rows have no label and were left out; the first is line 7 of a.csv.'"""
        return [
            f"{count:,} of {self.total:,} rows {'has' if count == 1 else 'have'} {why} and "
            f"{'was' if count == 1 else 'were'} left out; the first is {self.first[why]}."
            for why, count in self.counts.items()
        ]

    def refuse_many(self) -> None:
        """Raises RetortError where more than a tenth of the rows are torn, or refused by the chat template."""
        for why, remedy in _WAYS_OUT.items():
            count = self.counts.get(why, 0)
            if count > _MOST * self.total:
                raise RetortError(
                    f"{count:,} of {self.total:,} rows {'has' if count == 1 else 'have'} {why}; the first is "
                    f"{self.first[why]}.",
                    remedy,
                )
