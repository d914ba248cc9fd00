"""The way to the cluster. Ray is an optional extra (requirements-cluster.txt) and is imported only here.

Whoever reaches a Ray cluster may run any code on it, so its address comes from the operator's environment
(`RETORT_RAY_ADDRESS`), never from a recipe. docs/cluster.md says how to keep a cluster private.
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import core
from core.base.errors import RetortError
from core.base.settings import Settings

DEVICE = "retort_device"
"""The custom resource of a node: how many trials it may measure at once. Each trial leases one."""
START_NODE = f"ray start --address HOST:PORT --resources '{{\"{DEVICE}\": 1}}'"
_PATIENCE = 10.0


def library() -> Any:
    """The module `ray`.

    Raises:
        RetortError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise RetortError(
            "Ray is not installed, so there is no way to a cluster.",
            "Install it with: .venv/bin/pip install -r requirements-cluster.txt -c constraints.txt",
        ) from None


@contextmanager
def connected(settings: Settings) -> Iterator[Any]:
    """`ray`, connected to the cluster of the settings; Retort's own code travels to the nodes with the job.

    Raises:
        RetortError: Ray is missing, or no cluster answers.
    """
    ray = library()
    if settings.cluster != "auto":
        _refuse_unreachable(settings.cluster)
    try:
        ray.init(
            address=settings.cluster,
            namespace="retort",
            log_to_driver=False,
            logging_level=logging.WARNING,
            runtime_env={"py_modules": [str(Path(core.__file__).parent)], "excludes": ["**/__pycache__"]},
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _unreachable(settings.cluster, str(error).strip().splitlines()[0][:200]) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _refuse_unreachable(address: str) -> None:
    """Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        raise _unreachable(address, getattr(error, "strerror", None) or str(error)) from None


def _unreachable(address: str, reason: str) -> RetortError:
    where = "on this machine" if address == "auto" else f"at {address}"
    return RetortError(
        f"No Ray cluster answers {where} ({reason}).",
        "Start one with 'ray start --head' (docs/cluster.md), or set RETORT_RAY_ADDRESS to its HOST:PORT.",
    )
