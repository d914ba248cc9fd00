"""How texts are drawn on the Compare page: how many tokens, greedily or at a temperature with a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import streamlit as st

LENGTHS = (20, 40, 80, 160)


@dataclass(frozen=True)
class Writing:
    """What `core.engine.live.generate.Draw` says, as the page sets it."""

    tokens: int
    temperature: float
    seed: int

    def asked(self) -> dict[str, Any]:
        """For a request; without a temperature the seed says nothing, so it makes no other comparison."""
        return asdict(self) | ({} if self.temperature else {"seed": 0})


def words(settings: Mapping[str, Any]) -> str:
    """How a saved comparison was drawn: '40 tokens, greedily'; '' where nothing was written for it."""
    if "tokens" not in settings:
        return ""
    if not settings.get("temperature"):
        return f"up to {settings['tokens']} tokens, greedily"
    return f"up to {settings['tokens']} tokens, temperature {settings['temperature']:g}, seed {settings['seed']}"


def widgets() -> Writing:
    """The settings, which hold for everything that is written on the page."""
    for key, usual in (("compare-length", 40), ("compare-temperature", 0.0), ("compare-seed", 0)):
        st.session_state.setdefault(key, usual)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        tokens = st.selectbox("Tokens to write", LENGTHS, key="compare-length", width=160)
        temperature = st.number_input(
            "Temperature",
            0.0,
            2.0,
            step=0.1,
            key="compare-temperature",
            width=160,
            help="0 always takes the likeliest token, so the same prompt gives the same text. More draws at random. "
            "The models' own generation settings are not used, so that all write alike.",
        )
        seed = st.number_input(
            "Seed",
            0,
            2**31 - 1,
            key="compare-seed",
            width=160,
            disabled=temperature == 0,
            help="The same seed draws the same text again.",
        )
    return Writing(int(tokens), round(float(temperature), 4), int(seed))


def put(settings: Mapping[str, Any]) -> None:
    """Sets the widgets as a saved comparison was drawn."""
    if settings.get("tokens") in LENGTHS:
        st.session_state["compare-length"] = settings["tokens"]
        st.session_state["compare-temperature"] = float(settings.get("temperature") or 0)
        st.session_state["compare-seed"] = int(settings.get("seed") or 0)
