"""Which runs a search means, as an SQL condition."""

from __future__ import annotations

from collections.abc import Sequence

from core.store.rows import RunState


def run_filter(
    states: Sequence[RunState] | None,
    kinds: Sequence[str] | None,
    model: str | None,
    tag: str | None,
    text: str,
) -> tuple[str, list[str]]:
    """An SQL condition on runs, and its values; None leaves a column out."""
    parts: list[str] = ["1"]
    values: list[str] = []
    for column, allowed in (("state", states), ("kind", kinds)):
        if allowed is not None:
            parts.append(f"{column} IN ({', '.join('?' * len(allowed))})")
            values += allowed
    if model is not None:
        parts.append("model = ?")
        values.append(model)
    if tag is not None:
        parts.append("EXISTS (SELECT 1 FROM json_each(runs.tags) WHERE value = ?)")
        values.append(tag)
    if text.strip():
        pattern = "%" + text.strip().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        parts.append("(id || ' ' || name || ' ' || model || ' ' || notes) LIKE ? ESCAPE '\\'")
        values.append(pattern)
    return " AND ".join(parts), values
