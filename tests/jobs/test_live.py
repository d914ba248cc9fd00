"""The preview server as a real process: started on demand, one a home, superseded, given up to a run, killed, idle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.jobs import preview_process
from core.jobs.executors import device_lock
from core.jobs.locks import held
from core.jobs.preview import client
from tests.jobs.conftest import Bench, gone

pytestmark = pytest.mark.jobs


def slow(bench: Bench, name: str, ticks: int = 400, **more: Any) -> dict[str, Any]:
    return {"ticks": ticks, "name": name, "ledger": str(live_ledger(bench)), **more}


def ended(bench: Bench) -> list[str]:
    path = live_ledger(bench)
    return path.read_text().splitlines() if path.exists() else []


def live_ledger(bench: Bench) -> Path:
    return bench.ledger.with_name("live.txt")


def test_it_starts_on_demand_answers_and_is_released(host: Bench) -> None:
    settings = host.settings
    assert client.status(settings, LOCAL) == client.LiveStatus("off")
    events = list(client.ask(settings, LOCAL, "slow", slow(host, "a", ticks=2)))
    assert events[0] == {"stage": "Starting the engine."}
    assert [e.get("tick") for e in events[1:]] == [0, 1, None] and events[-1] == {"done": True}
    now = client.status(settings, LOCAL)
    assert (now.state, now.models, now.pid) == ("ready", (), events[1]["pid"])
    assert stat.S_IMODE(preview_process.address_file(settings).stat().st_mode) == 0o600
    assert held(device_lock(settings)), "no run may start beside it"
    client.release(settings, LOCAL)
    assert client.status(settings, LOCAL).state == "off" and not held(device_lock(settings))


def test_clients_that_race_start_one_host(host: Bench) -> None:
    pids: list[int] = []

    def one(name: str) -> None:
        pids.extend(e["pid"] for e in client.ask(host.settings, LOCAL, "slow", slow(host, name, ticks=1)) if "pid" in e)

    threads = [threading.Thread(target=one, args=(str(i),)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert len(pids) == 6 and len(set(pids)) == 1


def test_the_newest_request_of_a_session_wins_and_another_session_waits(host: Bench) -> None:
    older = client.ask(host.settings, LOCAL, "slow", slow(host, "old"), session="tab")
    while "tick" not in next(older):
        pass
    newer = list(client.ask(host.settings, LOCAL, "slow", slow(host, "new", ticks=2), session="tab"))
    assert newer[-1] == {"done": True}
    with pytest.raises(client.Superseded):
        list(older)
    assert ended(host) == ["old", "new"], "the old one put everything back before the new one began"


def test_who_goes_away_cancels_the_request(host: Bench) -> None:
    answer = client.ask(host.settings, LOCAL, "slow", slow(host, "left"))
    while "tick" not in next(answer):
        pass
    answer.close()  # type: ignore[attr-defined]
    host.until(lambda: ended(host) == ["left"], timeout=5)


def test_a_run_gets_the_machine_within_a_moment(host: Bench) -> None:
    answer = client.ask(host.settings, LOCAL, "slow", slow(host, "given up"))
    while "tick" not in next(answer):
        pass
    run_id = host.add(trials=1)
    with pytest.raises(client.Busy, match="A run is using this machine"):
        list(answer)
    assert host.wait(run_id).state == "done", "the host let the device go"
    assert ended(host) == ["given up"]
    assert list(client.ask(host.settings, LOCAL, "slow", slow(host, "back", ticks=1)))[-1] == {"done": True}


def test_while_a_run_is_active_nothing_is_started(host: Bench) -> None:
    host.add(start=False)
    assert client.status(host.settings, LOCAL).state == "busy"
    with pytest.raises(client.Busy):
        list(client.ask(host.settings, LOCAL, "slow", slow(host, "never")))
    assert not held(preview_process.live_lock(host.settings))


def test_a_killed_host_is_a_sentence_and_the_next_request_starts_another(host: Bench) -> None:
    answer = client.ask(host.settings, LOCAL, "slow", slow(host, "killed"))
    event = next(answer)
    while "tick" not in event:
        event = next(answer)
    os.kill(event["pid"], signal.SIGKILL)
    with pytest.raises(RetortError, match="stopped in the middle") as caught:
        list(answer)
    assert "Ask again" in caught.value.remedy
    again = list(client.ask(host.settings, LOCAL, "slow", slow(host, "again", ticks=1)))
    assert again[-1] == {"done": True} and again[1]["pid"] != event["pid"]


def test_it_leaves_when_nobody_asks(host: Bench) -> None:
    settings = replace(host.settings, limits=replace(host.settings.limits, live_idle_seconds=0.3))
    pid = next(e["pid"] for e in client.ask(settings, LOCAL, "slow", slow(host, "once", ticks=1)) if "pid" in e)
    host.until(lambda: gone(pid), timeout=10)
    assert client.status(settings, LOCAL).state == "off" and not preview_process.address_file(settings).exists()


def test_what_goes_wrong_inside_is_a_sentence_and_the_host_goes_on(host: Bench) -> None:
    with pytest.raises(RetortError, match="ValueError: a part is missing"):
        list(client.ask(host.settings, LOCAL, "broken", {}))
    with pytest.raises(RetortError, match="no operation 'nothing'"):
        list(client.ask(host.settings, LOCAL, "nothing", {}))
    with pytest.raises(RetortError, match="outside"):
        list(client.ask(host.settings, LOCAL, "loads", {"model": "path:/etc"}))
    with pytest.raises(RetortError, match="too long"):
        list(client.ask(host.settings, LOCAL, "slow", {"name": "x" * client.REQUEST_BYTES}))


def test_a_stranger_without_the_secret_gets_no_answer(host: Bench) -> None:
    list(client.ask(host.settings, LOCAL, "slow", slow(host, "a", ticks=1)))
    port = json.loads(preview_process.address_file(host.settings).read_text())["port"]
    with socket.create_connection(("127.0.0.1", port), timeout=5) as stranger:
        with suppress(OSError):
            stranger.sendall(b"guess\n" + json.dumps({"op": "release", "session": "", "request": {}}).encode() + b"\n")
        with suppress(ConnectionResetError):
            assert stranger.recv(100) == b""
    time.sleep(0.3)
    assert client.status(host.settings, LOCAL).state == "ready"


def test_a_model_is_loaded_once_and_kept(host: Bench, tiny_llama: Path) -> None:
    folder = host.settings.home / "models" / "tiny"
    shutil.copytree(tiny_llama, folder)
    asked = {"model": f"path:{folder}"}
    seen = [e["seen"] for _ in range(2) for e in client.ask(host.settings, LOCAL, "loads", asked) if "seen" in e]
    assert seen == [1, 2], "what was kept beside the model is there the second time"
    now = client.status(host.settings, LOCAL)
    assert now.models == (str(folder),) and now.bytes > 0


def test_memory_that_runs_out_is_told_and_nothing_else_is_taken_for_it(host: Bench) -> None:
    with pytest.raises(RetortError, match="not enough memory for this"):
        list(client.ask(host.settings, LOCAL, "hungry", {}))
    with pytest.raises(RetortError, match="ValueError: the memory of an elephant"):
        list(client.ask(host.settings, LOCAL, "muddled", {}))


BIG = 10**12


def test_models_used_long_ago_make_room(tiny_llama: Path) -> None:
    from core.jobs.preview.models import Models

    models = Models(limit=1)
    first = models.get(tiny_llama, "a", "float32", BIG)
    assert models.get(tiny_llama, "a", "float32", BIG) is first
    models.get(tiny_llama, "b", "float32", BIG)
    assert len(models.folders) == 1
    assert models.get(tiny_llama, "a", "float32", BIG) is not first
