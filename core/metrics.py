"""What a measurement is, and which metrics exist: label, unit, direction, digits.

Pages, charts and reports take every label from here, so a new metric is one line in `METRICS`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.task_sets import TASK_SETS, accuracy_id, task_label

LARGEST_PERPLEXITY = 1e300
"""Beyond it a perplexity is no number that says anything: models are then told apart by their loss."""

Better = Literal["lower", "higher"]
Role = Literal["quality", "cost", "detail"]
Obtained = Literal["measured", "estimated"]


class Metric(BaseModel):
    """One thing that can be known about a candidate."""

    model_config = ConfigDict(frozen=True)
    id: str
    label: str
    unit: str
    better: Better
    role: Role
    explain: str
    digits: int = 3  # significant digits shown


class Measurement(BaseModel):
    """A value and how it was obtained.

    `low` and `high` bound a 95 % interval for quality, and are the 10th and 90th percentile for
    times (`settings["interval"]` names which). `samples` holds the per-window (or per-item) values
    in a fixed order, so two candidates can be compared in pairs; its meaning is in
    `settings["samples"]`.
    """

    metric: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    obtained: Obtained = "measured"
    device: str = "cpu"
    dtype: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    samples: list[float] | None = None


def find_metric(measurements: Iterable[Measurement], metric_id: str) -> Measurement | None:
    """The first measurement of a metric."""
    return next((m for m in measurements if m.metric == metric_id), None)


def _m(id: str, label: str, unit: str, better: Better, role: Role, explain: str, digits: int = 3) -> Metric:
    return Metric(id=id, label=label, unit=unit, better=better, role=role, explain=explain, digits=digits)


METRICS: dict[str, Metric] = {
    m.id: m
    for m in (
        _m(
            "perplexity",
            "Perplexity",
            "",
            "lower",
            "quality",
            "How surprised the model is by unseen text: exp of the mean loss per token.",
            4,
        ),
        _m("loss", "Loss per token", "nats", "lower", "quality", "Mean negative log-likelihood of a token.", 4),
        _m(
            "loss_change",
            "Loss change",
            "nats",
            "lower",
            "quality",
            "Loss per token minus the baseline's on the same windows, compared in pairs.",
            3,
        ),
        _m(
            "kl_to_teacher",
            "KL to the baseline",
            "nats",
            "lower",
            "quality",
            "Mean Kullback-Leibler divergence of the next-token distribution from the baseline's.",
            3,
        ),
        _m(
            "top1_agreement",
            "Same top token as the baseline",
            "%",
            "higher",
            "quality",
            "Share of positions where the most likely next token is the baseline's.",
            3,
        ),
        _m("accuracy", "Accuracy", "", "higher", "quality", "Share of items answered correctly.", 3),
        _m(
            "accuracy_norm",
            "Accuracy, length-normalised",
            "",
            "higher",
            "quality",
            "Share of items whose best answer per character is the right one.",
            3,
        ),
        _m("f1", "F1 (macro)", "", "higher", "quality", "Mean over classes of the F1 score.", 3),
        _m("parameters", "Parameters", "", "lower", "cost", "Numbers stored in the model, tied ones once.", 4),
        _m(
            "nonzero_parameters",
            "Non-zero parameters",
            "",
            "lower",
            "detail",
            "Parameters that are not zero. Zeros still take space and time in a dense model.",
            4,
        ),
        _m(
            "sparsity_pruned",
            "Sparsity of the pruned matrices",
            "%",
            "higher",
            "detail",
            "Zeros among the weights the method may prune: what was asked for.",
        ),
        _m(
            "sparsity_model",
            "Sparsity of the whole model",
            "%",
            "higher",
            "detail",
            "Zeros among all parameters, embeddings and head included.",
        ),
        _m(
            "disk_bytes",
            "Weights on disk",
            "B",
            "lower",
            "cost",
            "Bytes of the files that hold the weights; tokenizer and configuration are not counted.",
            4,
        ),
        _m(
            "memory_bytes",
            "Memory of the weights",
            "B",
            "lower",
            "cost",
            "Bytes of parameters and buffers once loaded.",
            4,
        ),
        _m(
            "peak_memory_bytes",
            "Peak memory",
            "B",
            "lower",
            "cost",
            "Peak resident memory of a fresh process that loads the model and generates.",
            4,
        ),
        _m(
            "kv_bytes_per_token",
            "Key-value cache per token",
            "B",
            "lower",
            "cost",
            "Memory each token of context takes while generating.",
            4,
        ),
        _m("prefill_ms", "Prefill latency", "ms", "lower", "cost", "Time to read the prompt, one sequence.", 3),
        _m("decode_ms", "Latency per token", "ms", "lower", "cost", "Time to write one more token, one sequence.", 3),
        _m(
            "batch_prefill_ms",
            "Prefill latency of a batch",
            "ms",
            "lower",
            "cost",
            "Time to read the prompts of a whole batch.",
            3,
        ),
        _m(
            "batch_decode_ms",
            "Latency per token of a batch",
            "ms",
            "lower",
            "cost",
            "Time to write one more token for every sequence of a batch.",
            3,
        ),
        _m("energy_j_per_token", "Energy per token", "J", "lower", "cost", "Energy to write one more token.", 3),
        _m(
            "cost_per_mtok",
            "Cost per million tokens",
            "",
            "lower",
            "cost",
            "Price of a machine-hour divided by the tokens it writes.",
            3,
        ),
        _m(
            "energy_kwh_per_mtok",
            "Energy per million tokens",
            "kWh",
            "lower",
            "cost",
            "Power of the machine times the time it takes to write them.",
            3,
        ),
        _m(
            "reload_difference",
            "Largest logit difference after reload",
            "",
            "lower",
            "detail",
            "Saved, loaded by plain transformers in a fresh process, compared. Its texts there are greedy, whatever "
            "the model's own generation settings ask for.",
            2,
        ),
    )
}


def _of_task(metric_id: str) -> Metric | None:
    """The accuracy on one task, 'accuracy:TASK' or 'accuracy_norm:TASK'."""
    base, _, task = metric_id.partition(":")
    if not task or base not in ("accuracy", "accuracy_norm"):
        return None
    general = METRICS[base]
    label = f"{task_label(task)} accuracy" + (", length-normalised" if base == "accuracy_norm" else "")
    return general.model_copy(update={"id": metric_id, "label": label})


METRICS |= {
    m.id: m
    for t in TASK_SETS.values()
    for normalised in (t.normalised, not t.normalised)  # the usual one first
    if (m := _of_task(accuracy_id(t.id, normalised))) is not None
}


def metric(metric_id: str) -> Metric:
    """The metric's description; an unknown id (from a newer home) is shown under its own name."""
    known = METRICS.get(metric_id) or _of_task(metric_id)
    return known or _m(metric_id, metric_id, "", "lower", "detail", "Recorded by another version of Retort.")


def show(metric_id: str, value: float | None, unit: str = "") -> str:
    """A number as a person reads it, on every surface: '252.5 MB', '31.6', '41 ms', '50.0 %'. None is an en dash.

    Args:
        unit: of a metric whose unit is not fixed, such as money.
    """
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "infinite" if value > 0 else f"{MINUS}infinite"
    m = metric(metric_id)
    if metric_id == "perplexity" and abs(value) > LARGEST_PERPLEXITY:
        return "over 1e300"
    if m.unit == "B":
        return show_bytes(value)
    if metric_id in COUNTS:
        return show_count(value)
    if m.unit == "%":
        return f"{_signed(f'{value:.1f}')} %"
    return f"{significant(value, m.digits)} {m.unit or unit}".strip()


def shown(m: Measurement) -> str:
    """The value of a measurement as a person reads it: '252.5 MB'."""
    return show(m.metric, m.value, m.unit)


def interval(m: Measurement) -> str:
    """'32.6 to 36.9 ms'; '' where no error is known."""
    if m.low is None or m.high is None or not m.low < m.high:
        return ""
    low, high = (show(m.metric, end, m.unit) for end in (m.low, m.high))
    same = low.partition(" ")[2] == high.partition(" ")[2]
    return f"{low.partition(' ')[0] if same else low} to {high}"


def in_full(m: Measurement) -> str:
    """'33.8 ms (32.6 to 36.9 ms)': with what is known of its error, and a word where it is estimated."""
    estimated = ", estimated" if m.obtained == "estimated" else ""
    return shown(m) + (f" ({found})" if (found := interval(m)) else "") + estimated


def significant(value: float, digits: int) -> str:
    """`value` at `digits` significant digits, without exponents between 1e-4 and 1e7."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e7 or size < 1e-4:
        return _signed(f"{value:.{digits - 1}e}")
    text = f"{value:.{digits}g}"
    if "e" in text:
        text = f"{float(text):.0f}"
    if abs(float(text)) >= 1000:
        text = f"{float(text):,.0f}"
    return _signed(text)


def _signed(text: str) -> str:
    """With the minus that stands in every change, not with a hyphen."""
    return text.replace("-", MINUS, 1) if text.startswith("-") else text


DASH = "\u2013"
MINUS = "\u2212"
BYTE_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
COUNT_UNITS = (("B", 1e9), ("M", 1e6), ("k", 1e3))


COUNTS = ("parameters", "nonzero_parameters")
"""Metrics that count numbers of a model."""


def show_bytes(value: float) -> str:
    """Bytes in decimal units, as file managers and model cards count them."""
    return _scaled(value, BYTE_UNITS, " B")


def show_count(value: float) -> str:
    """A count of parameters: '134.5 M'."""
    return _scaled(value, COUNT_UNITS, "")


def scaled(metric_id: str, most: float) -> tuple[float, str]:
    """By what numbers of a metric are divided, and the unit then, where they share one: the largest is `most`."""
    m = metric(metric_id)
    units = BYTE_UNITS if m.unit == "B" else COUNT_UNITS if metric_id in COUNTS else ()
    return next(((size, unit) for unit, size in units if abs(most) >= size), (1.0, m.unit))


def _scaled(value: float, units: tuple[tuple[str, float], ...], plain: str) -> str:
    """In the largest unit that the shown number fills: 999,960 bytes are '1.0 MB', not '1000.0 kB'."""
    for unit, size in units:
        if abs(value) / size >= (0.99995 if size > 1e3 else 1.0):
            share = value / size
            return f"{_signed(f'{share:,.0f}' if abs(share) >= 1000 else f'{share:.1f}')} {unit}"
    return f"{_signed(f'{value:.0f}')}{plain}"
