"""Operations for tests of the preview server, like those of Retort: they tick, break, hang and eat."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch takes seconds to be imported, under Python's lock
    from core.engine.live.host import Host

Events = Iterator[dict[str, Any]]


def slow(host: Host, request: dict[str, Any]) -> Events:
    """Ticks until it is told to stop; says so in a file when it is."""
    try:
        for i in range(request["ticks"]):
            yield {"tick": i, "pid": os.getpid()}
            host.checkpoint()
            time.sleep(request.get("pause", 0.05))
    finally:
        with open(request["ledger"], "a") as file:
            file.write(request["name"] + "\n")


def broken(host: Host, request: dict[str, Any]) -> Events:
    yield {"tick": 0}
    raise ValueError("a part is missing")


def hungry(host: Host, request: dict[str, Any]) -> Events:
    resource.setrlimit(resource.RLIMIT_DATA, (400_000_000, resource.RLIM_INFINITY))
    yield {"bytes": len(bytearray(1_000_000_000))}


def muddled(host: Host, request: dict[str, Any]) -> Events:
    yield {"tick": 0}
    raise ValueError("the memory of an elephant")


def loads(host: Host, request: dict[str, Any]) -> Events:
    loaded = host.model(request["model"])
    host.beside(request["model"])["seen"] = host.beside(request["model"]).get("seen", 0) + 1
    yield {"dtype": str(loaded.dtype), "seen": host.beside(request["model"])["seen"]}


def holds(host: Host, request: dict[str, Any]) -> Events:
    """Compiled code that keeps Python's lock: no other thread of the process gets a turn, for hours."""
    yield {"pid": os.getpid()}
    re.match("(a+)+$", "a" * 60 + "b")


def computes(host: Host, request: dict[str, Any]) -> Events:
    """Compiled code that lets other threads work, for so many rounds (a million take about half a second)."""
    yield {"pid": os.getpid()}
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", request["rounds"])
    yield {"tick": 1}


def tokenizes(host: Host, request: dict[str, Any]) -> Events:
    yield {"ids": host.model(request["model"]).tokenizer(request["text"]).input_ids}


def grows(host: Host, request: dict[str, Any]) -> Events:
    """20 MB, ten times a second, for a minute at most; `stubborn`: without a look whether it should stop."""
    eaten = []
    for i in range(600):
        eaten.append(os.urandom(20_000_000))
        time.sleep(0.1)
        if not request["stubborn"]:
            yield {"tick": i}
            host.checkpoint()
