"""What this machine is, how much memory is free, and a refusal with numbers where it is not enough."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import psutil
import torch

from core.base import memory

_HEADROOM = 0.05


def device_facts() -> dict[str, Any]:
    """Facts a figure depends on: processor, cores, threads, bfloat16, memory, graphics cards, versions."""
    physical = psutil.virtual_memory()
    return {
        "cpu": cpu_name(),
        "architecture": platform.machine(),
        "cores": psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        "logical_cores": psutil.cpu_count() or 1,
        "usable_cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "bfloat16": computes_bfloat16(),
        "memory_bytes": physical.total,
        "free_memory_bytes": free_memory(),
        "gpus": gpus(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def cpu_name() -> str:
    """The processor's own name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown processor"


def machine_name(device: torch.device) -> str:
    """What computes on `device`: the graphics card's name, or the processor's."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def computes_bfloat16() -> bool:
    """True where the processor multiplies bfloat16 in hardware."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def gpus() -> list[dict[str, Any]]:
    """Every CUDA device: index, name, memory and free memory in bytes, compute capability."""
    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        found.append(
            {
                "index": index,
                "name": properties.name,
                "memory_bytes": total,
                "free_memory_bytes": free,
                "capability": f"{properties.major}.{properties.minor}",
            }
        )
    return found


def free_memory(device: torch.device | str = "cpu") -> int:
    """Bytes a new allocation may take on `device`: what the system and this container's limit both allow."""
    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return memory.available()
