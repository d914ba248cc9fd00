"""A saved comparison: which models wrote or read what, how it was drawn, and what came of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Kind = Literal["texts", "tokens", "prompts"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FILE_BYTES = 64_000_000
_ID = re.compile(r"[0-9a-f]{16}")


class Comparison(BaseModel):
    """One comparison.

    Attributes:
        kind: `texts` (each model writes after a prompt), `tokens` (all read one text) or `prompts` (a list of them).
        models: references; the others are compared with the first.
        names: what each was called then.
        settings: what was asked for besides the models, as the preview server was asked.
        found: its answer: `texts`, `strips`, or `rows` and `results`, as `core.engine.live` describes them.
        created: seconds since 1970.
        made_by: who asked; '' where nobody signs in.
    """

    model_config = ConfigDict(frozen=True)
    kind: Kind
    models: tuple[str, ...] = Field(min_length=1, max_length=3)
    names: tuple[str, ...]
    settings: dict[str, JsonValue]
    found: dict[str, list[Any]]
    created: float = 0.0
    made_by: str = ""

    @property
    def id(self) -> str:
        """The same for the same models and settings: made again, a comparison takes the place of the former one."""
        told = json.dumps([self.kind, self.models, self.settings], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """What was compared, in one line of the prompt's or the text's beginning."""
        prompts = self.settings.get("prompts")
        if isinstance(prompts, list):
            return f"{len(prompts)} prompts"
        return str(self.settings.get("prompt", self.settings.get("text", "")))[:200]

    @property
    def candidates(self) -> tuple[str, ...]:
        """Keys of the candidates among the models."""
        return candidate_keys(self.models)


def candidate_keys(references: Iterable[str]) -> tuple[str, ...]:
    """Keys of the kept candidates among references to models."""
    return tuple(r.rpartition("/")[2].removeprefix("run:") for r in references if r.startswith("run:"))


def is_id(text: str) -> bool:
    """Whether it can be the id of a comparison, which may come from an address."""
    return _ID.fullmatch(text) is not None
