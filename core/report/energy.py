"""Energy in a report: on one power throughout, and one sentence for each way it came about."""

from __future__ import annotations

from collections.abc import Sequence

from core.analysis.promised_vs_measured import find
from core.recipe.results import Result
from core.registry.formatting import significant
from core.registry.measurement import Measurement
from core.report.costs import COUNTED_FORMULA, ENERGY_FORMULA, Prices, energy_per_token

ENERGY = "energy_j_per_token"


def with_power(results: Sequence[Result], prices: Prices) -> list[Result]:
    """The candidates with every estimated energy on the reader's power, where one was given."""
    if prices.watts is None:
        return list(results)
    return [r.model_copy(update={"measurements": _powered(r, prices)}) for r in results]


def _powered(result: Result, prices: Prices) -> list[Measurement]:
    decode = find(result, "decode_ms")
    return [energy_per_token(m, decode, prices) if m.metric == ENERGY else m for m in result.measurements]


def energy_notes(chosen: Sequence[Result], prices: Prices) -> list[str]:
    """How the energies of these candidates came about: counted ones, estimates per token, and for a million tokens."""
    found = [m for r in chosen if (m := find(r, ENERGY)) is not None]
    counted = [m for m in found if m.obtained == "measured"]
    estimated = [m for m in found if m.obtained == "estimated"]
    said = [
        f"{_whose(len(counted), len(chosen))} was measured by the machine's counter ({name}), that of the prompt "
        f"subtracted; that of a million tokens follows from it: {COUNTED_FORMULA}."
        for name in sorted({str(m.settings.get("counter")) for m in counted})
    ]
    said += [
        f"{_whose(len(estimated), len(chosen))} is estimated, not measured: watts x seconds, at {power}."
        for power in sorted({_power(m) for m in estimated})
    ]
    if prices.watts is not None and len(counted) < len(chosen):
        watts = f"{significant(prices.watts, 4)} W"
        said.append(f"Energy for a million tokens (kWh) is estimated: {ENERGY_FORMULA}, at {watts}.")
    elif prices.watts is not None:
        said.append("The power given is not used, since energy was measured.")
    return said


def _whose(some: int, of: int) -> str:
    return "Energy per token" if some == of else f"Energy per token of {some} of {of} chosen candidates"


def _power(m: Measurement) -> str:
    """'20 W (assumed: 10 W for each of 2 threads)'."""
    return f"{significant(float(m.settings.get('watts', 0.0)), 4)} W ({m.settings.get('watts_from', 'unknown')})"
