"""`track`: a study in an experiment tracker."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.commands.terminal import put_json, say
from core.integrations.mlflow import TRACKERS, track


def register(one: argparse.ArgumentParser) -> None:
    """The options of `track`."""
    one.add_argument("run", metavar="RUN")
    one.add_argument("--to", choices=list(TRACKERS), default="mlflow", help="default: mlflow")
    one.add_argument(
        "--store", metavar="URI", help="default: MLFLOW_TRACKING_URI, or a database in the data folder (tracking/)"
    )


def send(chosen: argparse.Namespace, settings: Settings) -> int:
    """Sends a run that has ended to a tracker.

    Raises:
        RetortError: as `core.integrations.mlflow.track`.
    """
    sent = track(chosen.run, settings, LOCAL, chosen.to, chosen.store)
    if chosen.json:
        put_json(asdict(sent))
    elif sent.new:
        say(f"Run {chosen.run} with {sent.candidates} candidates is in {sent.store} as {sent.run}.")
    else:
        say(f"Run {chosen.run} is in {sent.store} already, as {sent.run}.")
    return 0
