"""A preview server that hangs, is stopped, grows or meets a tokenizer that panics holds up nobody for long."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.jobs.executors import device_lock
from core.jobs.locks import holder
from core.jobs.preview import client
from core.jobs.preview.device import take_device
from tests.jobs.conftest import Bench, gone
from tests.jobs.tiny_study import panicking

pytestmark = pytest.mark.jobs


def limited(settings: Settings, **limits: Any) -> Settings:
    return replace(settings, limits=replace(settings.limits, **limits))


def begun(events: Iterator[dict[str, Any]]) -> int:
    """The process that answers, once the operation has begun."""
    return next(int(event["pid"]) for event in events if "pid" in event)


def asked_again(settings: Settings) -> bool:
    return list(client.ask(settings, LOCAL, "computes", {"rounds": 1}))[-1] == {"done": True}


@pytest.mark.parametrize("how", ["stopped", "holds"])
def test_the_runner_ends_a_host_that_does_not_leave(host: Bench, how: str) -> None:
    answer = client.ask(host.settings, LOCAL, "computes" if how == "stopped" else "holds", {"rounds": 1_000_000_000})
    pid = begun(answer)
    assert holder(device_lock(host.settings)) is not None
    if how == "stopped":
        os.kill(pid, signal.SIGSTOP)
    run_id = host.add(trials=1)
    assert host.wait(run_id).state == "done", host.log(run_id)
    assert gone(pid)
    assert asked_again(host.settings)


def test_who_asks_a_stuck_host_gets_a_sentence_and_the_next_one_another_host(host: Bench) -> None:
    answer = client.ask(limited(host.settings, live_silence_seconds=2.0), LOCAL, "holds", {})
    pid = begun(answer)
    with pytest.raises(RetortError, match="did not answer for 2 seconds, so it was ended") as said:
        list(answer)
    assert "Ask again" in said.value.remedy
    host.until(lambda: gone(pid))
    assert asked_again(host.settings)


def test_what_computes_without_a_word_is_ended_in_time(host: Bench) -> None:
    settings = limited(host.settings, live_answer_seconds=1.0)
    answer = client.ask(settings, LOCAL, "computes", {"rounds": 1_000_000_000})
    pid = begun(answer)
    with pytest.raises(RetortError, match="worked on this for 1 seconds without getting any further"):
        list(answer)
    host.until(lambda: gone(pid))
    assert asked_again(host.settings)


def test_a_long_answer_is_no_stuck_one(host: Bench) -> None:
    """Silent for longer than whoever asks would wait for a dead one, but alive."""
    settings = limited(host.settings, live_silence_seconds=5.0)
    events = list(client.ask(settings, LOCAL, "computes", {"rounds": 20_000_000}))
    assert events[-2:] == [{"tick": 1}, {"done": True}]


def test_a_command_gets_the_device_from_a_stopped_host(host: Bench) -> None:
    settings = limited(host.settings, live_leave_seconds=0.5)
    answer = client.ask(settings, LOCAL, "computes", {"rounds": 1_000_000_000})
    pid = begun(answer)
    os.kill(pid, signal.SIGSTOP)
    assert client.status(settings, LOCAL).state == "silent"
    lock = take_device(settings, LOCAL, "prune")
    assert lock is not None and gone(pid)
    user = holder(device_lock(settings))
    assert user is not None and (user.pid, user.purpose) == (os.getpid(), "command prune")
    assert take_device(settings, LOCAL, "doctor") is None, "what a command holds is not taken from it"
    lock.release()


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_host_obeys_the_memory_limit(host: Bench, stubborn: bool) -> None:
    settings = limited(host.settings, memory="300 MB")
    with pytest.raises(
        RetortError, match=r"The engine for previews had grown to 3\d\d\.\d MB of memory, and its limit"
    ):
        list(client.ask(settings, LOCAL, "grows", {"stubborn": stubborn}))
    host.until(lambda: host.host_pid() is None)
    assert asked_again(settings)


def test_whoever_may_have_less_memory_gets_less_of_a_host_that_others_started(host: Bench) -> None:
    assert asked_again(host.settings)
    with pytest.raises(RetortError, match="its limit is 300.0 MB"):
        list(client.ask(limited(host.settings, memory="300 MB"), LOCAL, "grows", {"stubborn": False}))


def test_a_model_beyond_the_limit_is_not_loaded(tiny_llama: Path) -> None:
    """The tiny model has 49,440 parameters: 197.8 kB as float32."""
    from core.jobs.preview.models import Models

    models = Models(limit=10**9)
    with pytest.raises(RetortError, match=r"takes about 197\.8 kB of memory, and a job may take 190\.0 kB"):
        models.get(tiny_llama, "a", "float32", 190_000)
    models.get(tiny_llama, "a", "float32", 200_000)
    models.get(tiny_llama, "b", "float32", 300_000)
    assert len(models.folders) == 1, "two of them would be more than a job may take"
    models.get(tiny_llama, "a", "float32", 500_000)
    assert len(models.folders) == 2


def test_a_tokenizer_that_panics_is_named_and_the_host_goes_on(host: Bench, tiny_llama: Path) -> None:
    folder = panicking(tiny_llama, host.settings.home / "models" / "panics")
    asked = {"model": f"path:{folder}", "text": "The river"}
    with pytest.raises(
        RetortError, match="tokenizer broke off with an internal error .a panic.: no entry found"
    ) as said:
        list(client.ask(host.settings, LOCAL, "tokenizes", asked))
    assert "undamaged copy" in said.value.remedy
    pid = host.host_pid()
    assert asked_again(host.settings) and host.host_pid() == pid
