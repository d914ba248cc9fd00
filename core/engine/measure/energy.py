"""Energy of a written token: read from the machine's own counters where it has them, else estimated and called so.

Counters: RAPL for processors (Linux powercap, whole packages) and NVML for NVIDIA graphics cards. Both
count everything the device does, so the figure is only as clean as the machine is quiet.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from core.base.progress import Reporter
from core.engine.measure.clock import OtherLoad
from core.engine.measure.latency import run_once
from core.recipe.recipe import Latency
from core.registry.measurement import Measurement

POWERCAP = Path("/sys/class/powercap")
WATTS_PER_CORE = 10.0
"""Assumed for an estimate where nobody gave the machine's power; the figure names it."""
_LEAST_SECONDS = 2.0  # counters update every millisecond or slower: a longer run drowns their steps

Counter = Callable[[float], float]
"""Joules used since the counter was made; called with the number of joules last seen."""


def energy_per_token(
    model: PreTrainedModel, decode: Measurement, spec: Latency, reporter: Reporter, watts: float | None = None
) -> Measurement:
    """Joules for one more token at batch 1: measured where a counter is readable, else watts times `decode`.

    Args:
        decode: the model's `decode_ms`, which the estimate rests on.
        watts: power of the machine under this load, for the estimate.
    """
    found = measured_energy(model, spec, reporter)
    return found if found is not None else estimated_energy(decode, watts)


def estimated_energy(decode: Measurement, watts: float | None = None) -> Measurement:
    """Power times the measured time of a token. `watts` None: 10 W for each thread of the measurement."""
    threads = int(decode.settings.get("threads", torch.get_num_threads()))
    assumed = watts is None
    power = WATTS_PER_CORE * threads if watts is None else watts
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
            "watts_from": f"assumed: {WATTS_PER_CORE:g} W for each of {threads} threads" if assumed else "given",
            "interval": "that of the time only; the power is taken as exact",
        },
    )


@torch.inference_mode()
def measured_energy(model: PreTrainedModel, spec: Latency, reporter: Reporter) -> Measurement | None:
    """Joules per token of prefill-free decoding, from a hardware counter; None where there is none to read.

    The prompt's energy is subtracted: the same prompts are read without writing, and counted first.
    """
    counter = energy_counter(model.device)
    if counter is None or not model.can_generate():
        return None
    generator = torch.Generator().manual_seed(0)
    vocabulary = int(model.config.get_text_config().vocab_size)
    prompt = torch.randint(0, vocabulary, (1, spec.prompt), generator=generator).to(model.device)
    run_once(model, prompt, spec.new_tokens)
    with OtherLoad() as load:
        repeats, whole = _joules(lambda: run_once(model, prompt, spec.new_tokens), counter, reporter)
        again, prefill = _joules(lambda: run_once(model, prompt, 1), counter, reporter)
    per_token = (whole / repeats - prefill / again) / (spec.new_tokens - 1)
    if per_token <= 0.0:  # too noisy a machine to tell the two apart
        return None
    settings: dict[str, Any] = {
        "how": "hardware energy counter, whole device, prompt subtracted",
        "counter": "NVML" if model.device.type == "cuda" else "RAPL",
        "prompt": spec.prompt,
        "new_tokens": spec.new_tokens,
        "repeats": repeats,
        **load.settings(),
    }
    return Measurement(
        metric="energy_j_per_token",
        value=per_token,
        unit="J",
        device=model.device.type,
        dtype=str(model.dtype).removeprefix("torch."),
        settings=settings,
    )


def _joules(work: Callable[[], Any], counter: Counter, reporter: Reporter) -> tuple[int, float]:
    """How often `work` ran in at least two seconds, and the joules it took in all."""
    before = counter(0.0)
    start, repeats, used = time.perf_counter(), 0, before
    while time.perf_counter() - start < _LEAST_SECONDS:
        reporter.checkpoint()
        work()
        repeats += 1
        used = counter(used)  # read often, so that a counter that wraps is seen to
    return repeats, used - before


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
