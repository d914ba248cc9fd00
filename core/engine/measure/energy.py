"""Energy of a written token: read from the machine's own counters where it has them, else estimated and called so.

Counters: RAPL for processors (Linux powercap, whole packages) and NVML for NVIDIA graphics cards. Both
count everything the device does, so the figure is only as clean as the machine is quiet.
"""

from __future__ import annotations

import ctypes
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from core.analysis.statistics import student
from core.analysis.time_references import compared_as
from core.base.progress import Reporter
from core.engine.measure.clock import OtherLoad
from core.engine.measure.latency import run_once
from core.recipe.recipe import Latency
from core.registry.measurement import Measurement

POWERCAP = Path("/sys/class/powercap")
WATTS_PER_CORE = 10.0
"""Assumed for an estimate, since nobody gave the machine's power; the figure names it."""
_ROUNDS = 5
_LEAST_SECONDS = 0.5  # of each half of a round: counters update every millisecond or slower, which a long run drowns

Counter = Callable[[float], float]
"""Joules used since the counter was made; called with the number of joules last seen."""


def energy_per_token(
    model: PreTrainedModel, decode: Measurement, spec: Latency, reporter: Reporter
) -> Measurement | None:
    """Joules for one more token at batch 1: measured where a counter is readable, else watts times `decode`.

    None where a counter is readable and the machine too busy to tell the token's part of it, since an estimate says
    nothing beside figures that were counted; and on a graphics card without a counter, whose power nobody knows.

    Args:
        decode: the model's `decode_ms`, which the estimate rests on.
    """
    counter = energy_counter(model.device)
    if counter is not None:
        return measured_energy(model, counter, spec, reporter)
    return None if model.device.type == "cuda" else estimated_energy(decode)


def estimated_energy(decode: Measurement) -> Measurement:
    """Power times the measured time of a token, with what the time says of itself: 10 W for each of its threads."""
    threads = int(decode.settings.get("threads", torch.get_num_threads()))
    power = WATTS_PER_CORE * threads
    ends = [None if b is None else power * b / 1e3 for b in (decode.low, decode.high)]
    return Measurement(
        metric="energy_j_per_token",
        value=power * decode.value / 1e3,
        unit="J",
        low=ends[0],
        high=ends[1],
        obtained="estimated",
        device=decode.device,
        dtype=decode.dtype,
        settings={
            "formula": "watts x seconds per token",
            "watts": power,
            "watts_from": f"assumed: {WATTS_PER_CORE:g} W for each of {threads} threads",
            "interval": "that of the time only; the power is taken as exact",
            **compared_as(decode),
        },
    )


@torch.inference_mode()
def measured_energy(model: PreTrainedModel, counter: Counter, spec: Latency, reporter: Reporter) -> Measurement | None:
    """Joules per token of prefill-free decoding, from a hardware counter; None where they are lost in other work.

    The prompt's energy is subtracted: the same prompts are read without writing, in turns with the others, and counted.
    Bounds are Student's 95 % interval over the rounds.
    """
    generator = torch.Generator().manual_seed(0)
    vocabulary = int(model.config.get_text_config().vocab_size)
    prompt = torch.randint(0, vocabulary, (1, spec.prompt), generator=generator).to(model.device)
    run_once(model, prompt, spec.new_tokens)
    found: list[float] = []
    with OtherLoad() as load:
        for _ in range(_ROUNDS):
            whole = _joules(lambda: run_once(model, prompt, spec.new_tokens), counter, reporter)
            prefill = _joules(lambda: run_once(model, prompt, 1), counter, reporter)
            found.append((whole - prefill) / (spec.new_tokens - 1))
    mean = statistics.fmean(found)
    if mean <= 0.0:  # too noisy a machine to tell the two apart
        return None
    half = student(_ROUNDS) * statistics.stdev(found) / math.sqrt(_ROUNDS)
    settings: dict[str, Any] = {
        "how": "hardware energy counter, whole device, prompt subtracted",
        "counter": "NVML" if model.device.type == "cuda" else "RAPL",
        "prompt": spec.prompt,
        "new_tokens": spec.new_tokens,
        "rounds": _ROUNDS,
        "interval": "95 %, Student's, over the rounds",
        **load.settings(),
    }
    return Measurement(
        metric="energy_j_per_token",
        value=mean,
        unit="J",
        low=max(0.0, mean - half),
        high=mean + half,
        device=model.device.type,
        dtype=str(model.dtype).removeprefix("torch."),
        settings=settings,
    )


def _joules(work: Callable[[], Any], counter: Counter, reporter: Reporter) -> float:
    """Joules that `work` takes: the mean over as many times as fit into `_LEAST_SECONDS`."""
    before = counter(0.0)
    start, repeats, used = time.perf_counter(), 0, before
    while repeats == 0 or time.perf_counter() - start < _LEAST_SECONDS:
        reporter.checkpoint()
        work()
        repeats += 1
        used = counter(used)  # read often, so that a counter that wraps is seen to
    return (used - before) / repeats


def energy_counter(device: torch.device) -> Counter | None:
    """A counter of joules for `device`, or None."""
    return nvml_counter(device.index or 0) if device.type == "cuda" else rapl_counter(POWERCAP)


def rapl_counter(root: Path) -> Counter | None:
    """Sum over the processor packages under `root` (the powercap folder); None where none can be read."""
    zones = [p for p in sorted(root.glob("intel-rapl:*")) if _name(p).startswith("package")]
    try:
        last = {zone: int((zone / "energy_uj").read_text()) for zone in zones}
        wraps = {zone: int((zone / "max_energy_range_uj").read_text()) for zone in zones}
    except (OSError, ValueError):  # readable by root only on most systems
        return None
    if not zones:
        return None

    def joules(seen: float) -> float:
        for zone in zones:
            now = int((zone / "energy_uj").read_text())
            seen += ((now - last[zone]) % (wraps[zone] + 1)) / 1e6
            last[zone] = now
        return seen

    return joules


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text().strip()
    except OSError:
        return ""


def nvml_counter(index: int, library: str = "libnvidia-ml.so.1") -> Counter | None:
    """Millijoules counted by NVIDIA's driver since it was loaded (Volta and later); None without it."""
    try:
        nvml = ctypes.CDLL(library)
        device, start = ctypes.c_void_p(), ctypes.c_ulonglong()
        if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)):
            return None
        if nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(start)):
            return None
    except (OSError, AttributeError):
        return None

    def joules(seen: float) -> float:
        now = ctypes.c_ulonglong()
        if nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(now)):
            return seen
        return (now.value - start.value) / 1e3

    return joules
