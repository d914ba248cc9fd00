"""A few timed seconds that tell how fast this machine is: the basis of every estimate before a run.

Times the real operations of a run (forward, one-token decoding, ranking, writing a file) on a small
random Llama and stores rates, from which `core.analysis.estimate` scales by size.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from core.analysis.estimate import MachineProbe, probe_path
from core.base.durable_files import make_folder, write
from core.base.settings import Settings
from core.engine.measure.clock import OtherLoad
from core.engine.models.load import compute_dtype
from core.recipe.hooks import Hooks

_LAYERS, _HIDDEN, _TOKENS = 4, 576, 512


def probe_machine(settings: Settings, tries: int = 3) -> MachineProbe:
    """Times this machine (about five seconds), stores the rates in the home and returns them.

    Where other work kept the machine busy it is timed again, up to `tries` times in all; the quietest one counts.
    """
    found: list[MachineProbe] = []
    while len(found) < tries and not (found and not found[-1].contended):
        found.append(_probed(settings))
    probe = min(found, key=lambda p: p.other_cpu_cores)
    write(probe_path(settings), json.dumps(probe.model_dump()))
    return probe


def _probed(settings: Settings) -> MachineProbe:
    dtype = compute_dtype("auto")
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=_HIDDEN,
        intermediate_size=1536,
        num_hidden_layers=_LAYERS,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=8192,
        tie_word_embeddings=True,
    )
    model: Any = LlamaForCausalLM(config).eval()
    model.to(dtype)
    parameters = sum(p.numel() for p in model.parameters())
    ids = torch.randint(0, 8192, (2, _TOKENS))
    with OtherLoad() as load:
        with torch.inference_mode():
            forward = _median(lambda: model(ids, use_cache=False), 5)
            decode = _median(lambda: model.generate(ids[:1, :64], max_new_tokens=8, do_sample=False), 3) / 8
        weight = torch.randn(1536, _HIDDEN)
        ranking = _median(lambda: weight.abs().kthvalue(_HIDDEN // 2, dim=1), 5)
    return MachineProbe(
        dtype=str(dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        forward_flops=2 * parameters * ids.numel() / forward,
        decode_seconds_per_layer=decode / _LAYERS,
        rank_weights_per_second=weight.numel() / ranking,
        write_bytes_per_second=_write_speed(settings.home),
        taken=time.time(),
        other_cpu_cores=round(load.cores, 2),
        contended=load.contended,
    )


def run(run: object, hooks: Hooks) -> None:
    """The job behind "time this machine"."""
    hooks.reporter.progress(0, 1, "Timing this machine")
    probe_machine(hooks.settings)
    hooks.reporter.progress(1, 1, "This machine is timed")


def _median(work: Callable[[], object], repeats: int) -> float:
    """Median seconds of `work`, after one warm-up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _write_speed(folder: Path) -> float:
    """Bytes a second written and flushed to the disk that holds `folder`."""
    make_folder(folder)
    block = os.urandom(1 << 20)
    start = time.perf_counter()
    with tempfile.TemporaryFile(dir=folder) as out:
        for _ in range(32):
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    return 32 * len(block) / (time.perf_counter() - start)
