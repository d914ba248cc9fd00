"""Which metrics a report looks for, and which it shows to whom."""

from __future__ import annotations

from core.registry.metrics import METRICS

FOR_EXECUTIVES = (
    "accuracy",
    "disk_bytes",
    "memory_bytes",
    "decode_ms",
    "cost_per_mtok",
    "energy_kwh_per_mtok",
)
COSTS = ("disk_bytes", "decode_ms", "memory_bytes", *(m.id for m in METRICS.values() if m.role == "cost"))
QUALITIES = ("perplexity", "accuracy", *(m.id for m in METRICS.values() if m.role == "quality"))
PLAIN_QUALITIES = ("loss_change", *(m for m in METRICS if m.partition(":")[0] in ("accuracy", "accuracy_norm")))
"""What an executive is shown: no perplexity, no divergence."""
WISHED = ("perplexity", "disk_bytes", "peak_memory_bytes", "decode_ms", "energy_j_per_token")
