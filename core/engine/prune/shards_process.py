"""Pruning file by file as a process of its own: a request as JSON in, the report or a refusal as JSON out.

python -m core.engine.prune.shards_process < request.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from core.base.errors import RetortError
from core.base.panics import panic_in_words
from core.base.progress import InMemoryReporter
from core.base.roles import Actor
from core.base.settings import Settings
from core.base.text import visible
from core.catalogue.checks import read_json
from core.catalogue.kinds import kind_of
from core.engine.data.corpora import load_texts
from core.engine.data.framing import frame_for
from core.engine.data.windows import calibration_windows
from core.engine.models.tokenizer import open_tokenizer
from core.engine.prune.shards import prune_shards
from core.recipe.recipe import Calibration, Prune
from core.registry.methods import METHODS


class _Spoken(InMemoryReporter):
    """Progress as lines on standard error."""

    def progress(self, done: float, total: float, message: str = "") -> None:
        sys.stderr.write(visible(message) + "\n")
        sys.stderr.flush()


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Prunes `folder` to `target` by `prune` with the `calibration` of a recipe; the facts and notes.

    Raises:
        RetortError: as `prune_shards`, and for texts that cannot be read.
    """
    settings, prune = Settings.load(request["home"]), Prune.model_validate(request["prune"])
    actor = Actor("", request["role"])
    folder, windows = Path(request["folder"]), None
    if METHODS[prune.method].calibrated:
        spec = Calibration.model_validate(request["calibration"])
        tokenizer = open_tokenizer(folder).tokenizer
        frame = frame_for(tokenizer, kind_of(read_json(folder / "config.json")), spec.start_token)
        texts = load_texts(spec, settings, actor, tokenizer)
        windows = calibration_windows(texts, tokenizer, spec.sequences, spec.length, spec.seed, frame)
    report = prune_shards(folder, Path(request["target"]), prune, windows, _Spoken())
    return {"facts": report.facts, "notes": report.notes}


def main() -> None:
    """One request from standard input."""
    try:
        answer = work(json.load(sys.stdin))
    except BaseException as error:
        known = error if isinstance(error, RetortError) else panic_in_words(error)
        if known is None:
            raise
        answer = {"error": {"cause": known.cause, "remedy": known.remedy}}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
