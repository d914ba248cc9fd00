"""`doctor`: what can be done with a model."""

from __future__ import annotations

import argparse

from core.catalogue.references import resolve
from core.settings import Settings
from core.terminal import put


def doctor(chosen: argparse.Namespace, settings: Settings) -> int:
    put(str(resolve(chosen.model, settings)))
    return 0
