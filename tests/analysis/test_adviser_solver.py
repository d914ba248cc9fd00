"""The combination for named megabytes and milliseconds, by hand: SmolLM2 has 56.6 MB outside its 212.4 MB of blocks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.analysis.adviser import ROOM, Situation, Subject, advise, summary
from core.recipe.files import dump_recipe, load_recipe

SMALL = Subject("sample:smollm2-135m", 134_515_008, 106_199_040, 30, 0, encoder=False, context=8192)
TIGHT = Situation(SMALL, deployment="phone", memory_mb=100 / ROOM, formats=("huggingface", "onnx", "gguf"))


def test_pruning_and_int8_together_reach_what_neither_does() -> None:
    plans, _ = advise(TIGHT)
    first = plans[0]
    # (100 - 56.632) / 106.199 = 0.408: so much of the blocks may stay once int8 halves them.
    assert first.technique.id == "solved" and first.technique.kept == pytest.approx(0.408)
    assert first.fits and not next(p for p in plans if p.technique.id == "int8").fits
    assert first.size.startswith("269.0 MB of 16-bit weights become about 100.0 MB")
    steps = first.recipe.steps
    assert [s.step for s in steps] == [
        *("evaluate", "measure", "prune", "evaluate", "measure"),
        *("export", "quantise", "evaluate", "measure"),
    ]
    assert steps[2].target.block_fraction == 0.592 and steps[5].format == "gguf"
    assert load_recipe(dump_recipe(first.recipe)) == first.recipe
    assert summary(TIGHT, plans) == (
        "As it is it does not fit. This would: Take 59 % of the blocks out and keep the weights as int8."
    )


def test_with_text_and_hours_what_is_left_is_trained() -> None:
    plans, _ = advise(replace(TIGHT, data="text", compute="hours"))
    steps = plans[0].recipe.steps
    assert [s.step for s in steps][2:11] == ["select", "measure", "distil"] * 3
    # Three rounds that leave 0.408 together: each takes 1 - 0.408 ** (1 / 3) = 25.8 %.
    assert {o.target.block_fraction for s in steps if s.step == "select" for o in s.options} == {0.259}


def test_milliseconds_are_searched_for_on_this_machine() -> None:
    slow = Situation(SMALL, milliseconds=36.0, dense_ms=40.0)
    plans, _ = advise(slow)
    assert plans[0].technique.id == "solved" and plans[0].recipe.sweep.budget.decode_ms == 36.0
    # 36 / 40 of 134.5 M parameters are 121.1 M, of which 92.7 M of 106.2 M in the blocks.
    assert plans[0].technique.kept == pytest.approx(0.873, abs=5e-4)
    assert "A token takes about 36 ms instead of 40 ms (estimated from the parameters)." in plans[0].size
    assert not next(p for p in plans if p.technique.id == "int8").fits, "int8 is not known to be faster"
    quick = replace(slow, milliseconds=41.0)
    assert summary(quick, advise(quick)[0]) == "It fits as it is."


def test_what_cannot_be_reached_is_said_with_what_could() -> None:
    tiny = replace(TIGHT, memory_mb=80.0)
    plans, _ = advise(tiny)
    assert "solved" not in {p.technique.id for p in plans} and not any(p.fits for p in plans)
    # 56.6 + 0.3 x 106.2 = 88.5 MB, of 70 % of the memory: 126.4 MB.
    assert summary(tiny, plans) == (
        "Nothing here fits: even int8 with 30 % of the blocks takes 88.5 MB, which needs a device of 126.4 MB. "
        "Name more memory, or start from a smaller model."
    )


def test_where_int8_alone_or_nothing_is_needed_nothing_is_combined() -> None:
    for memory in (170 / ROOM, 8000.0, None):
        plans, _ = advise(Situation(SMALL, memory_mb=memory))
        assert "solved" not in {p.technique.id for p in plans}
    assert "solved" not in {p.technique.id for p in advise(replace(TIGHT, subject=replace(SMALL, adapted=False)))[0]}


def test_phone_and_edge_are_told_the_format() -> None:
    plans, _ = advise(replace(TIGHT, memory_mb=8000.0))
    by_id = {p.technique.id: p.take_away for p in plans}
    assert by_id["depth"].startswith("Take it away as GGUF. One file for llama.cpp")
    assert by_id["int8"].startswith("int8 weights are for transformers with torchao. For GGUF take the model")
    only_onnx, _ = advise(replace(TIGHT, deployment="edge", formats=("onnx",)))
    assert next(p for p in only_onnx if p.technique.id == "depth").take_away.startswith("Take it away as ONNX.")
    assert {p.take_away for p in advise(replace(TIGHT, deployment="cloud"))[0]} == {""}


def test_an_unknown_time_is_said_to_be_left_out() -> None:
    asked = Situation(SMALL, milliseconds=10.0)
    assert summary(asked, advise(asked)[0]) == (
        "It fits as it is. What a token takes now was not measured on this machine yet, so the time is left out."
    )
    assert summary(Situation(SMALL), advise(Situation(SMALL))[0]) == ""
