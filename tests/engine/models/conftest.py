"""One fresh process for all tests of saved models: starting it takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.engine.models.roundtrip import ReloadProcess


@pytest.fixture(scope="session")
def fresh() -> Iterator[ReloadProcess]:
    with ReloadProcess() as process:
        yield process
