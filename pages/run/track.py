"""One run sent to an experiment tracker, where one is installed."""

from __future__ import annotations

import streamlit as st

from core.base.errors import RetortError
from core.integrations.mlflow import TRACKERS, installed, track
from core.store import RunRow
from pages.frame import home, login, studies
from pages.frame.states import refused
from pages.frame.text import md


def send(run: RunRow) -> None:
    """A button for each tracker that is installed; nothing where there is none."""
    if run.kind not in studies.KINDS or run.active or not run.trials_done:
        return
    for tracker in installed():
        label = TRACKERS[tracker]
        if login.button("run", f"Send to {label}", key=f"track-{tracker}", icon=":material/upload:"):
            with st.spinner(f"Sending to {label}"):
                try:
                    sent = track(run.id, home.settings(), login.actor(), tracker)
                except RetortError as error:
                    refused(error.cause, error.remedy)
                    continue
            where = f"{md(sent.store)}, experiment Retort, run {md(sent.run)}"
            st.success(f"It is in {where}." if sent.new else f"It was there already: {where}.", icon=":material/check:")
