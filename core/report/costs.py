"""Money and energy for a million tokens, from a measured time per token or a counted energy."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field

from core.analysis.time_references import compared_as, from_time
from core.registry.measurement import Measurement, Obtained

MONEY_FORMULA = "price per hour x milliseconds per token / 3.6"
ENERGY_FORMULA = "power in watts x milliseconds per token / 3,600"
COUNTED_FORMULA = "counted joules per token / 3.6"


class Prices(BaseModel):
    """What the reader pays. None: not given, and then nothing is estimated."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    per_hour: float | None = Field(default=None, gt=0, le=1e6, allow_inf_nan=False)
    """Price of the machine for an hour, in `currency`."""
    currency: str = Field(default="USD", min_length=1, max_length=8)
    watts: float | None = Field(default=None, gt=0, le=1e6, allow_inf_nan=False)
    """Power the machine draws while it writes."""
    mtok_per_month: float | None = Field(default=None, gt=0, le=1e9, allow_inf_nan=False)
    """The traffic that money and energy are told for: million tokens a month."""


def money_per_million(decode: Measurement, prices: Prices) -> Measurement | None:
    """Money for a million tokens written one sequence at a time; None without a price.

    1e6 tokens x (ms / 1000) s x (price / 3600 s) = price x ms / 3.6.
    """
    if prices.per_hour is None:
        return None
    settings = {"price_per_hour": prices.per_hour, "currency": prices.currency, "formula": MONEY_FORMULA}
    return _scaled(decode, "cost_per_mtok", prices.per_hour / 3.6, prices.currency, settings)


def energy_per_token(m: Measurement, decode: Measurement | None, prices: Prices) -> Measurement:
    """An estimated energy with the reader's power instead of the assumed one; a counted energy stays as it is.

    All figures of a report then rest on one power.
    """
    if m.obtained != "estimated" or prices.watts is None:
        return m
    given = {**m.settings, "watts": prices.watts, "watts_from": "given"}
    return from_time(m.model_copy(update={"settings": given}), decode)


def energy_per_million(decode: Measurement | None, counted: Measurement | None, prices: Prices) -> Measurement | None:
    """Kilowatt-hours for a million tokens written one sequence at a time; None without a counted energy and a power.

    What was `counted` for one token goes before an estimate: 1e6 tokens x J / 3.6e6 J per kWh = J / 3.6. Else
    1e6 tokens x watts x (ms / 1000) s / 3.6e6 J per kWh = watts x ms / 3600.
    """
    if counted is not None and counted.obtained == "measured":
        return _scaled(counted, "energy_kwh_per_mtok", 1.0 / 3.6, "kWh", {"formula": COUNTED_FORMULA}, "measured")
    if prices.watts is None or decode is None:
        return None
    settings = {"watts": prices.watts, "formula": ENERGY_FORMULA}
    return _scaled(decode, "energy_kwh_per_mtok", prices.watts / 3600.0, "kWh", settings)


def _scaled(
    of: Measurement,
    metric_id: str,
    factor: float,
    unit: str,
    settings: dict[str, object],
    obtained: Obtained = "estimated",
) -> Measurement | None:
    if not math.isfinite(of.value) or of.value <= 0:
        return None
    ends = [None if b is None else b * factor for b in (of.low, of.high)]
    return Measurement(
        metric=metric_id,
        value=of.value * factor,
        unit=unit,
        low=ends[0],
        high=ends[1],
        obtained=obtained,
        device=of.device,
        dtype=of.dtype,
        settings={**settings, "from": of.metric, **compared_as(of)},
    )
