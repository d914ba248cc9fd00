"""The loss of a model that cuts text into other tokens than the original, on the same text and in the same unit.

A loss per token of another tokenizer says nothing: of longer tokens each is harder, and there are fewer. What can be
compared is the loss of a whole text. So a model is asked for the very words that the original was asked for, and the
sum is divided by the tokens that the *original* cuts them into; bits per byte divide it by the bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from core.analysis.statistics import STUDENT, mean_interval
from core.base.errors import RetortError
from core.base.progress import Reporter
from core.engine.data.framing import frame_for
from core.engine.data.inputs import Inputs
from core.engine.data.window_texts import WindowText, placed_ids
from core.engine.evaluate.perplexity import MEASURED, loss_measurements
from core.engine.models.chunked_head import ChunkedHead, token_losses
from core.engine.models.context import context_of
from core.engine.models.load import Loaded
from core.recipe.parts import StartToken
from core.registry.measurement import Measurement, find_metric

BITS = "bits_per_byte"
PER = "of the same text, divided by the number of tokens the original cuts it into"


@torch.inference_mode()
def losses_by_text(
    loaded: Loaded, inputs: Inputs, start: StartToken, settings: Mapping[str, Any], reporter: Reporter
) -> tuple[list[Measurement], int]:
    """Perplexity and loss per token of the original, and bits per byte; and the tokens this model was asked for.

    Args:
        inputs: of the original; `loaded` predicts the next token, in tokens of its own.
        settings: of the original's own loss, which say what the text is.

    Raises:
        RetortError: a window takes more tokens than the model reads, or a loss is not a number.
    """
    frame = frame_for(loaded.tokenizer, loaded.task, start)
    texts = inputs.texts()
    placed = [placed_ids(text, loaded.tokenizer, frame.before) for text in texts]
    _fits([len(ids) for ids, _ in placed], context_of(loaded.model))
    source = ChunkedHead(loaded.model, torch.tensor([placed[0][0]]))
    sums: list[float] = []
    for done, (ids, first) in enumerate(placed, 1):
        reporter.checkpoint()
        row = torch.tensor([ids], device=loaded.model.device)  # (1, tokens)
        features = source.features(row)[0, first - 1 : -1]  # (asked, width)
        sums.append(float(token_losses(source, features, row[0, first:]).double().sum()))
        reporter.progress(done, len(placed), f"{MEASURED} on {done} of {len(placed)} windows.")
    own = sum(len(ids) - first for ids, first in placed)
    told = {**settings, "per": PER, "own_tokens": own}
    per_token = torch.tensor(sums, dtype=torch.float64)[:, None] / (inputs.evaluation.shape[1] - 1)
    found = loss_measurements(per_token, loaded.model, told)
    loss = find_metric(found, "loss")
    assert loss is not None
    return [*found, bits_per_byte(loss, texts)], own


def bits_per_byte(loss: Measurement, texts: Sequence[WindowText]) -> Measurement:
    """From a loss per token whose `samples` are the windows' means, and the windows' texts."""
    assert loss.samples is not None
    tokens = int(loss.settings["predicted_tokens"]) / len(loss.samples)
    mean = sum(t.bytes for t in texts) / len(texts)
    samples = [s * tokens / math.log(2) / mean for s in loss.samples]
    bits = mean_interval(samples)
    low, high = bits.bounds
    return loss.model_copy(
        update={
            "metric": BITS,
            "unit": "bits",
            "value": bits.value,
            "low": low,
            "high": high,
            "samples": samples,
            "settings": {
                **{k: v for k, v in loss.settings.items() if k != "per"},
                "bytes": sum(t.bytes for t in texts),
                "samples": "bits of each window over the mean bytes of a window",
                "interval": STUDENT,
            },
        }
    )


def _fits(lengths: Sequence[int], context: int | None) -> None:
    if context is not None and max(lengths) > context:
        raise RetortError(
            f"A window of the evaluation text takes {max(lengths):,} of this model's tokens, and it reads at most "
            f"{context:,}.",
            "Choose a shorter 'evaluation.window'.",
        )
