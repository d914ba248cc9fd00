"""Figures in words: one way to write a number, on every surface."""

from __future__ import annotations

import math

from core.registry.measurement import Measurement, too_few
from core.registry.metrics import metric

LARGEST_PERPLEXITY = 1e300
"""Beyond it a perplexity is no number that says anything: models are then told apart by their loss."""


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
    if m.low is None or m.high is None or not m.low < m.high or too_few(m):
        return ""
    low, high = (show(m.metric, end, m.unit) for end in (m.low, m.high))
    same = low.partition(" ")[2] == high.partition(" ")[2]
    return f"{low.partition(' ')[0] if same else low} to {high}"


def spread(m: Measurement) -> str:
    """The interval, or why a figure that has one as a rule has none: 'no interval: 2 windows, and it takes 4'."""
    return interval(m) or too_few(m)


def in_full(m: Measurement) -> str:
    """'33.8 ms (32.6 to 36.9 ms)': with what is known of its error, and a word where it is estimated."""
    estimated = ", estimated" if m.obtained == "estimated" else ""
    return shown(m) + (f" ({found})" if (found := spread(m)) else "") + estimated


def percent(share: float, decimals: int = 0) -> str:
    """A share as people read it: '50 %', '37.5 %', '\u221212 %'."""
    return f"{_signed(f'{100 * share:.{decimals}f}')} %"


def change(metric_id: str, value: float) -> str:
    """A difference of a metric, with its sign and unit: '+0.33 nats', '\u22120.02 nats'."""
    return f"{'+' if value > 0 else ''}{show(metric_id, value)}"


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
