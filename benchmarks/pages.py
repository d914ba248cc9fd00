"""How long pages take to answer with thousands of runs and twenty viewers at once, and what the server's memory does.

    python -m benchmarks.pages [--runs 5000] [--viewers 20] [--seconds 60] [--think 1.0]
    python -m benchmarks.pages --minutes 60          20 viewers for an hour: the memory each minute

A home is filled through the store's own calls (its figures are made up, their size is that of real ones): many runs,
a study of 24 candidates, and one of `--candidates`. A real server serves it; every viewer is a websocket session that
speaks Streamlit's protocol, moves between Start, Runs and Trade-offs, turns pages, filters and changes axes, and pauses
about `--think` seconds in between. Timed is what a person waits for: from the request for a rerun to
`script_finished`, all messages received. The peer is a Streamlit page of one line under the same viewers; the time of
the two is printed with the server's own CPU time for each rerun, which other work on the machine does not lengthen.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import math
import os
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.recipe.recipe import Recipe
from core.recipe.results import Result, Trial
from core.registry.measurement import Measurement
from core.registry.metrics import METRICS
from core.store import Store
from scripts.dashboard import ROOT, free_port, serving

MODEL = "sample:smollm2-135m"
METHODS = ("magnitude", "wanda", "sparsegpt", "random", "block_influence", "width_flap", "quantise")
WINDOWS = 16
QUALITY = {"corpus": "sample:wiki", "split": "evaluation", "window": 512, "samples": "mean loss of each window, nats"}
Times = dict[str, list[float]]


def main() -> None:
    """Fills a home, lets the viewers look, and prints what they waited for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5_000)
    parser.add_argument("--candidates", type=int, default=5_000, help="of the large study")
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the viewers look")
    parser.add_argument("--minutes", type=float, help="the same in minutes, with the memory after each")
    parser.add_argument("--think", type=float, default=1.0, help="mean pause of a viewer, in seconds")
    parser.add_argument("--home", type=Path, help="a home filled earlier; what is missing is filled")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=args.home or Path(folder) / "home")
        started = time.perf_counter()
        small, large = fill(settings, args.runs, args.candidates)
        print(f"{args.runs:,} runs in the home, filled in {time.perf_counter() - started:.0f} s")
        bare = Path(folder) / "bare.py"
        bare.write_text("import streamlit as st\n\nst.title('One line')\n")
        seconds = 60.0 * args.minutes if args.minutes else args.seconds
        visits = {"bare": [("", "")]}
        with server(bare, settings) as (process, port):
            peer = asyncio.run(watch(process, port, visits, args.viewers, min(seconds, 20.0), args.think, None))
        with server(ROOT / "app.py", settings) as (process, port):
            pages = visits_of(args.runs, small, large)
            ours = asyncio.run(watch(process, port, pages, args.viewers, seconds, args.think, args.minutes))
    print(f"\n{args.viewers} viewers, a pause of about {args.think:g} s, {os.cpu_count()} cores")
    print(f"{'milliseconds to the end of a rerun':36} {'reruns':>7} {'p50':>7} {'p95':>7} {'most':>7}")
    everything = [t for times in ours.times.values() for t in times]
    for name, times in (
        *sorted(ours.times.items()),
        ("all pages", everything),
        ("one line (peer)", peer.times["bare"]),
    ):
        print(f"{name:36} {len(times):7,} {_ms(times, 50):7.0f} {_ms(times, 95):7.0f} {_ms(times, 100):7.0f}")
    ratio = ours.cpu_each / peer.cpu_each
    print(f"server's CPU a rerun: {1e3 * ours.cpu_each:.1f} ms, the peer's {1e3 * peer.cpu_each:.1f} ms ({ratio:.1f}x)")
    print(f"server's memory: {ours.memory[0]:.0f} MB when everybody had arrived, {ours.memory[-1]:.0f} MB at the end")


def _ms(times: list[float], percentile: int) -> float:
    return float(np.percentile(times, percentile)) * 1e3


@dataclass
class Seen:
    """What a server was seen to do: seconds of every rerun by page, memory in MB over time, CPU seconds a rerun."""

    times: Times = field(default_factory=lambda: defaultdict(list))
    memory: list[float] = field(default_factory=list)
    cpu_each: float = math.nan


def fill(settings: Settings, runs: int, candidates: int) -> tuple[str, str]:
    """Runs with tags and trials, of which the newest two have the candidates; returns the ids of those two."""
    store, chooser = Store(settings), random.Random(0)
    dense = candidate(0, "dense", chooser)
    few = [dense, *(candidate(i, METHODS[i % len(METHODS)], chooser) for i in range(1, 25))]
    many = [dense, *(candidate(1_000 + i, METHODS[i % len(METHODS)], chooser) for i in range(candidates))]
    known = {r.name: r.id for r in store.runs.find(text="Study of ", limit=10)}
    for i in range(store.runs.counts().total, runs - 2):
        study(store, f"Run {i}", few[: 1 + i % 5], tags=[f"tag-{i % 12}"] if i % 3 else [])
    for name, of in (("Study of thousands", many), ("Study of a few", few)):
        if name not in known:
            for result in of:
                store.candidates.add(result)
            known[name] = study(store, name, of, tags=["studied"])
    return known["Study of a few"], known["Study of thousands"]


def study(store: Store, name: str, of: list[Result], tags: list[str]) -> str:
    """A finished run with these candidates."""
    recipe = Recipe.model_validate(
        {"name": name, "model": MODEL, "sweep": {"grid": [{"method": "wanda", "sparsity": [0.5]}]}}
    )
    run = store.runs.add(
        recipe.kind, name, MODEL, recipe.model_dump(mode="json"), LOCAL, tags=tags, notes="For a benchmark."
    )
    store.runs.claim(run)
    store.trials.add(run, [Trial(index=i, key=r.key, label=r.label) for i, r in enumerate(of)])
    for i in range(len(of)):
        store.trials.finish(run, i)
    store.runs.finish(run, "done")
    return run


def candidate(number: int, method: str, chooser: random.Random) -> Result:
    """A result of the size of a real one."""
    amount, structured = chooser.random(), method in ("block_influence", "width_flap", "quantise")
    worse = 0.0 if method == "dense" else amount**2 * (1 + 0.3 * METHODS.index(method))
    windows = [3.3 + worse + 0.03 * ((7 * i) % WINDOWS - 7.5) + chooser.gauss(0.0, 0.02) for i in range(WINDOWS)]
    loss, left = sum(windows) / WINDOWS, 1.0 - amount / 2 if structured else 1.0

    def measured(metric: str, value: float, spread: float = 0.0, samples: list[float] | None = None) -> Measurement:
        bounds = {"low": value * (1 - spread), "high": value * (1 + spread)} if spread else {}
        return Measurement(
            metric=metric,
            value=value,
            unit=METRICS[metric].unit,
            dtype="bfloat16",
            samples=samples,
            settings=QUALITY if samples else {"prompt": 64, "new_tokens": 8, "threads": 2},
            **bounds,
        )

    found = [measured("perplexity", math.exp(loss), 0.07, windows), measured("loss", loss, 0.02, windows)]
    found += [measured(m, 134.5e6 * left) for m in ("parameters", "nonzero_parameters")]
    found += [measured(m, 269e6 * left) for m in ("disk_bytes", "memory_bytes", "peak_memory_bytes")]
    found += [
        measured(m, size * left * chooser.uniform(0.98, 1.02), 0.05)
        for m, size in (("prefill_ms", 104.0), ("decode_ms", 44.0))
    ]
    if not structured and method != "dense":
        found.append(measured("sparsity_pruned", 100 * amount))
    layers = {f"model.layers.{i}.self_attn.{name}_proj": amount for i in range(30) for name in "qkvo"}
    return Result(
        key=_key(number),
        label="Dense baseline" if method == "dense" else f"{method} {100 * amount:.2f} %",
        model=MODEL,
        method=method,
        baseline=method == "dense",
        baseline_key=_key(0),
        measurements=found,
        facts={"layers": 30, "sparsity_by_matrix": layers},
    )


def _key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:24]


def visits_of(runs: int, small: str, large: str) -> dict[str, list[tuple[str, str]]]:
    """By what is timed: pages with the addresses that viewers go to."""
    pages = max(1, runs // 20)
    axes = [f"x={x}&y={y}" for x in ("disk_bytes", "decode_ms") for y in ("perplexity", "loss")]
    more = ["", "&near=true", "&method=wanda", "&limit-decode_ms=40"]
    listing = ["", *(f"page={1 + i * pages // 8}" for i in range(8)), "state=done", "tag=tag-4", "q=Run%2012"]
    return {
        "Start": [("", "")],
        "Runs": [("runs", q) for q in listing],
        "Trade-offs, 25 models": [("tradeoffs", f"run={small}&{a}{m}") for a in axes for m in more],
        "Trade-offs, thousands": [("tradeoffs", f"run={large}&{a}{m}") for a in axes for m in more],
    }


@contextmanager
def server(script: Path, settings: Settings) -> Iterator[tuple[psutil.Process, int]]:
    """A server of its own process; its id and port once it answers."""
    port = free_port()
    with serving(settings, port, "--logger.level=error", script=script, OMP_NUM_THREADS="1") as process:
        yield psutil.Process(process.pid), port


async def watch(
    process: psutil.Process,
    port: int,
    visits: dict[str, list[tuple[str, str]]],
    viewers: int,
    seconds: float,
    think: float,
    minutes: float | None,
) -> Seen:
    """Lets the viewers look; they arrive first, each page once, which is not counted."""
    seen, first = Seen(), Seen()
    async with asyncio.TaskGroup() as group:
        address, speaks = f"ws://127.0.0.1:{port}/_stcore/stream", [Subprotocol("streamlit")]
        sessions = [
            await connect(address, subprotocols=speaks, max_size=None, ping_interval=None) for _ in range(viewers)
        ]
        for i, session in enumerate(sessions):
            group.create_task(arrive(session, visits, first, random.Random(i)))
    seen.memory.append(_megabytes(process))
    before, end = sum(process.cpu_times()[:2]), time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        for i, session in enumerate(sessions):
            group.create_task(look(session, visits, seen, random.Random(100 + i), end, think))
        group.create_task(weigh(process, seen, end, minutes is not None))
    reruns = sum(len(t) for t in seen.times.values())
    seen.cpu_each = (sum(process.cpu_times()[:2]) - before) / reruns
    seen.memory.append(_megabytes(process))
    for session in sessions:
        await session.close()
    return seen


async def arrive(
    session: ClientConnection, visits: dict[str, list[tuple[str, str]]], seen: Seen, chooser: random.Random
) -> None:
    """Opens every page once."""
    for name, pages in visits.items():
        seen.times[name].append(await rerun(session, *chooser.choice(pages)))


async def look(
    session: ClientConnection,
    visits: dict[str, list[tuple[str, str]]],
    seen: Seen,
    chooser: random.Random,
    end: float,
    think: float,
) -> None:
    """Stays on a page for some reruns, then goes to another one."""
    await asyncio.sleep(chooser.uniform(0.0, 2 * think))
    while time.perf_counter() < end:
        name = chooser.choice(list(visits))
        for _ in range(chooser.randint(2, 8)):
            if time.perf_counter() >= end:
                return
            seen.times[name].append(await rerun(session, *chooser.choice(visits[name])))
            await asyncio.sleep(chooser.uniform(0.5 * think, 1.5 * think))


async def rerun(session: ClientConnection, page: str, query: str) -> float:
    """Asks for a rerun and takes in what comes until the script has finished; returns the seconds."""
    request = BackMsg()
    request.rerun_script.query_string = query
    request.rerun_script.page_name = page
    request.rerun_script.is_history_navigation = True
    request.rerun_script.context_info.timezone = "UTC"
    started, ran = time.perf_counter(), False
    await session.send(request.SerializeToString())
    while True:
        data = await asyncio.wait_for(session.recv(), 60)
        message = ForwardMsg.FromString(data if isinstance(data, bytes) else data.encode())
        kind = message.WhichOneof("type")
        ran = ran or kind == "new_session"
        if kind == "script_finished" and ran:
            if message.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY:
                raise RuntimeError(f"The page '{page}?{query}' did not finish: {message.script_finished}.")
            return time.perf_counter() - started


async def weigh(process: psutil.Process, seen: Seen, end: float, tell: bool) -> None:
    """Notes the server's memory every minute."""
    minute = 0
    while (left := end - time.perf_counter()) > 0:
        await asyncio.sleep(min(60.0, left))
        if tell:
            minute += 1
            seen.memory.append(_megabytes(process))
            print(
                f"minute {minute}: {seen.memory[-1]:.0f} MB, {sum(map(len, seen.times.values())):,} reruns", flush=True
            )


def _megabytes(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6


if __name__ == "__main__":
    main()
