"""`doctor`: what a model is, and what can be done with it on this machine, before anything is started."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from core.analysis.doctor import ExportOption, Verdict, diagnose, export_options
from core.analysis.estimate import read_probe
from core.base import memory
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.anatomy import Anatomy, anatomy
from core.catalogue.classifiers import MEASURED_ALL_THE_SAME
from core.catalogue.exportable import describe
from core.catalogue.references import ResolvedModel, resolve
from core.commands.terminal import put, put_json, put_pairs, put_table, say
from core.jobs.preview.device import take_device
from core.registry.formatting import show_bytes, show_count
from core.store.problems import plain_errors

_PROBE = (
    "from core.engine.measure.machine_rates import probe_machine; from core.base.settings import Settings; import sys; "
)
_PROBE += "probe_machine(Settings.load(sys.argv[1]))"


def doctor(chosen: argparse.Namespace, settings: Settings) -> int:
    """Anatomy and verdicts. Times the machine first where that was never done, or done while it was busy.

    Raises:
        RetortError: the model cannot be found or opened.
    """
    resolved = resolve(chosen.model, settings, LOCAL)
    found = anatomy(resolved.folder)
    probe = read_probe(settings)
    if probe is None or probe.contended:
        _time_machine(settings)
    verdicts = diagnose(found, memory.available(), settings)
    forms = export_options(describe(resolved.folder))
    if chosen.json:
        put_json(_document(resolved, found, verdicts, forms))
        return 0
    _show_anatomy(resolved, found)
    put("")
    _show_verdicts(verdicts)
    put("")
    put_table(["export", "possible", "remark"], [[o.id, "yes" if o.possible else "no", o.why] for o in forms])
    return 0


def _time_machine(settings: Settings) -> None:
    with plain_errors(settings.home):
        lock = take_device(settings, LOCAL, "doctor")
    if lock is None:
        say("A run or a command is using this machine, so it is not timed now, and times are not estimated.")
        return
    command = [sys.executable, "-c", _PROBE, str(settings.home)]
    say("Timing this machine; it takes a few seconds.")
    try:
        done = subprocess.run(command, capture_output=True, env={**os.environ}, pass_fds=(lock.descriptor,))
    finally:
        lock.release()
    if done.returncode != 0:
        say("This machine could not be timed, so times are not estimated.")


def _document(
    resolved: ResolvedModel, found: Anatomy, verdicts: list[Verdict], forms: list[ExportOption]
) -> dict[str, object]:
    return {
        "model": str(resolved.reference),
        "fingerprint": resolved.fingerprint,
        "provenance": resolved.provenance,
        "anatomy": {**found.model_dump(mode="json"), "kv_bytes_per_token": found.kv_bytes_per_token},
        "methods": [v.model_dump(mode="json") for v in verdicts],
        "exports": [o.model_dump(mode="json") for o in forms],
    }


def _show_anatomy(resolved: ResolvedModel, found: Anatomy) -> None:
    shape = found.shape
    heads = f"{shape.heads} query / {shape.kv_heads} key-value" if shape.kv_heads != shape.heads else f"{shape.heads}"
    cache = found.kv_bytes_per_token
    rows = [
        ("Model", str(resolved.reference)),
        ("Architecture", found.architecture),
        ("Parameters", show_count(found.parameters)),
        ("", ", ".join(f"{part} {show_count(count)}" for part, count in found.by_part.items())),
        ("Layers", f"{shape.layers or len(found.layers)}"),
        ("Hidden, MLP", f"{shape.hidden or '–'}, {shape.intermediate or '–'}"),
        ("Heads", heads if shape.heads else "–"),
        ("Experts", f"{shape.experts}, {shape.active_experts} used per token" if shape.experts else ""),
        ("Vocabulary", f"{shape.vocab or '–'}" + (", embeddings tied to the head" if found.tied else "")),
        ("Context", f"{shape.context or '–'} tokens"),
        ("Weights in memory", ", ".join(f"{show_bytes(found.bytes_in(d))} as {d}" for d in _DTYPES)),
        ("Weights on disk", f"{show_bytes(found.disk_bytes)} ({found.dtype})"),
        ("Key-value cache", f"{show_bytes(cache)} a token" if cache else ""),
        ("Not judged", f"How often it is right: {found.unjudged}. {MEASURED_ALL_THE_SAME}" if found.unjudged else ""),
        ("Cannot be used", f"{found.obstacle} {found.way_on}" if found.obstacle else ""),
        ("Licence", str(resolved.provenance.get("licence") or found.licence or "not stated")),
        ("Note", str(resolved.provenance.get("note") or found.note)),
    ]
    put_pairs([(name, text) for name, text in rows if text])


_DTYPES = ("float32", "bfloat16", "int8")


def _show_verdicts(verdicts: list[Verdict]) -> None:
    rows = [
        [
            v.method,
            "yes" if v.possible else "no",
            "yes" if v.smaller else "no",
            show_bytes(v.memory_bytes),
            _seconds(v.estimate.seconds),
            v.why,
        ]
        for v in verdicts
    ]
    put_table(["method", "possible", "really smaller", "memory", "one candidate", "remark"], rows)
    put(f"Memory and times are estimates ({verdicts[0].estimate.basis}); times include measuring the baseline.")


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} s" if value < 90 else f"{value / 60:.0f} min"
