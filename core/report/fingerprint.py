"""Which reports are the same one, without drawing them."""

from __future__ import annotations

import hashlib

from core.report.model import Report


def fingerprint(report: Report) -> str:
    """The same for reports that say and draw the same, and cheap beside drawing one."""
    run, chosen = report.run, [c.key for c in report.chosen]
    told = [report.headline, report.audience, report.prices, report.axes, report.limits, report.share]
    told += [chosen, report.said, report.brand]
    of = (
        (
            r.key,
            r.label,
            r.model,
            r.method,
            r.parent,
            r.baseline,
            r.notes,
            [
                (m.metric, m.value, m.low, m.high, m.unit, m.obtained, m.device, m.dtype, m.settings, m.samples)
                for m in r.measurements
            ],
        )
        for r in report.results
    )
    state = [run.state, run.trials_total, run.trials_done, run.trials_failed]
    digest = hashlib.sha256(repr([run.id, run.name, run.model, run.recipe, state, told]).encode(errors="replace"))
    for one in of:
        digest.update(repr(one).encode(errors="replace"))
    return digest.hexdigest()
