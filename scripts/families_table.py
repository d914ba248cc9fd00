"""Writes docs/families.md from the list of families: `python -m scripts.families_table`."""

from __future__ import annotations

from pathlib import Path

from core.registry.families import FAMILIES
from core.registry.family import CALIBRATION, ONNX, PARTS, Family, Stays

PAGE = Path(__file__).parent.parent / "docs" / "families.md"
_HEAD = """# Families

Models whose parts Retort takes out, by the `model_type` of their config.json. Weights of any other model can be zeroed.
This page is written by `python -m scripts.families_table`.

Each family is held to this by tests on tiny models: what is left after a part is taken out computes the same as the
whole model with that part silenced by hand (`tests/conformance/`), a fresh process with plain transformers loads it and
writes the same text with and without a cache, and what the doctor says of methods, distillation, int8 and exports is
what happens (`tests/engine/test_families.py`; all of it in `make soak`).

| model type | can be taken out | cannot, and why | GGUF |
|---|---|---|---|
"""
_NAMES = {"kv_groups": "key-value groups", "hidden": "hidden channels", CALIBRATION: "calibration", ONNX: "ONNX"}


def page() -> str:
    """The whole page."""
    known = sorted((f for f in FAMILIES.values() if f.adapted), key=lambda f: f.id)
    return _HEAD + "\n".join(_row(family) for family in known) + "\n"


def _row(family: Family) -> str:
    always = {part for s in family.stays if s.when is None for part in s.parts}
    absent = set() if _has_experts(family) else {"experts"}
    if family.square:
        absent |= {"heads", "kv_groups"}  # they go with the hidden channels
    can = [_name(part) for part in PARTS if part not in always | absent]
    if family.square and "hidden" not in always:
        can = [c if c != "hidden channels" else "hidden channels with their heads" for c in can]
    reasons = [_reason(s) for s in family.stays]
    if family.reads == "pair":
        reasons.append("the first layer of each stack: a stack needs one, and T5's others need it")
    reasons += [f"layer {i}: the others need it" for i in family.pinned]
    return f"| `{family.id}` | {', '.join(can)} | {'; '.join(reasons)} | {'yes' if family.gguf else ''} |"


def _reason(stays: Stays) -> str:
    parts = "anything" if set(PARTS) <= set(stays.parts) else ", ".join(_name(part) for part in stays.parts)
    return f"{parts}{' (of some)' if stays.when else ''}: {stays.why}"


def _name(part: str) -> str:
    return _NAMES.get(part, part)


def _has_experts(family: Family) -> bool:
    return any("neurons" in s.parts and "experts" in s.why for s in family.stays)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
