"""Advice: sensible orders for typical situations, recipes that are valid, and reasons that are true."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.adviser import (
    CONDITIONS,
    ROOM,
    WORDS,
    Compute,
    Data,
    Deployment,
    Quality,
    RankedPlan,
    Situation,
    Subject,
    advise,
    recipe_of,
)
from core.analysis.adviser_plans import TECHNIQUES
from core.recipe.files import dump_recipe, load_recipe
from core.recipe.results import Result
from core.registry.measurement import Measurement
from core.registry.methods import METHODS

SMALL = Subject("sample:smollm2-135m", 134_515_008, 106_199_040, 30, 0, encoder=False, context=8192)
ENCODER = Subject("sample:minilm", 22_713_216, 10_646_784, 6, 0, encoder=True, context=512)
MIXTURE = Subject("sample:smollm2-moe", 373_000_000, 344_000_000, 30, 4, encoder=False, context=8192)

MINITRON, STUDENT = (next(t for t in TECHNIQUES if t.id == i) for i in ("minitron", "student"))


def order(situation: Situation) -> list[str]:
    return [p.technique.id for p in advise(situation)[0]]


def plan(situation: Situation, id: str) -> RankedPlan:
    return next(p for p in advise(situation)[0] if p.technique.id == id)


def test_every_rule_names_what_there_is() -> None:
    assert len({t.id for t in TECHNIQUES}) == len(TECHNIQUES)
    for t in TECHNIQUES:
        assert set(t.needs) <= set(CONDITIONS) and set(t.points) <= set(WORDS), t.id
        assert set(t.methods) <= {*METHODS, "distil", "finetune", "quantise"}, t.id
        assert bool(t.steps) != bool(t.sweep), t.id
        assert t.source and t.against.endswith(".") and t.quality.endswith("."), t.id


@pytest.mark.parametrize("subject", [SMALL, ENCODER, MIXTURE], ids=lambda s: s.reference)
def test_every_recipe_is_one_and_reads_back_equal(subject: Subject) -> None:
    for technique in TECHNIQUES:
        recipe = recipe_of(technique, subject)
        assert load_recipe(dump_recipe(recipe)) == recipe and recipe.model == subject.reference


def test_what_fits_and_may_lose_nothing_is_left_alone() -> None:
    assert order(Situation(SMALL, quality="nearly_all", compute="gpu", data="text", memory_mb=8000))[0] == "nothing"


def test_real_time_takes_depth_before_width() -> None:
    found = order(Situation(SMALL, deployment="realtime", latency=True, data="text", compute="hours"))
    assert found[0] == "depth_distil" and found.index("depth_distil") < found.index("minitron")
    assert order(Situation(SMALL, deployment="realtime", latency=True))[0] == "depth"


def test_without_text_nothing_is_trained_and_it_is_said() -> None:
    plans, refused = advise(Situation(SMALL, data="none", compute="gpu"))
    assert not {"depth_distil", "minitron", "minitron_twice", "classifier"} & {p.technique.id for p in plans}
    assert any("needs text to train on" in sentence for sentence in refused)


def test_a_phone_with_a_graphics_card_at_hand_gets_minitron_and_labels_an_encoder() -> None:
    assert order(Situation(SMALL, deployment="phone", data="text", compute="gpu"))[0] == "minitron"
    assert order(Situation(ENCODER, deployment="phone", data="labels"))[0] == "classifier"


def test_encoders_are_taught_no_text_and_unknown_architectures_keep_their_parts() -> None:
    assert not {"minitron", "student"} & set(order(Situation(ENCODER, data="text", compute="gpu")))
    strange = Situation(replace(SMALL, adapted=False), data="text", compute="gpu")
    assert not {"depth", "minitron", "student"} & set(order(strange)) and "int8" in order(strange)


def test_a_recipe_reads_no_more_than_the_model_can() -> None:
    short = replace(SMALL, context=64)
    assert all(s.data.length == 64 for s in recipe_of(MINITRON, short).steps if s.step == "distil")
    assert recipe_of(STUDENT, short).steps[0].design.layers == 20


def test_experts_and_patterns_only_where_there_are_some() -> None:
    found = order(Situation(MIXTURE, data="text", compute="gpu"))
    assert "experts" in found and "minitron" not in found  # neurons inside experts stay
    assert "experts" in order(Situation(MIXTURE)) and "experts" not in order(Situation(SMALL))
    assert "two_of_four" not in order(Situation(SMALL))
    assert "two_of_four" in order(Situation(SMALL, sparse_gpu=True))


def test_what_does_not_fit_afterwards_comes_after_what_does() -> None:
    # 269 MB of weights; int8 leaves 162.8 MB, a quarter of the blocks fewer 216 MB
    tight = Situation(SMALL, memory_mb=170 / ROOM, deployment="realtime", latency=True)
    assert order(tight)[0] == "int8" and plan(tight, "int8").fits and not plan(tight, "depth").fits
    assert "162.8 MB" in plan(tight, "int8").size and "does not fit" in plan(tight, "depth").size
    assert "nothing" not in order(tight)


def test_own_measurements_are_named() -> None:
    def result(key: str, method: str, loss: float) -> Result:
        figures = [
            Measurement(metric="loss", value=loss, unit="nats"),
            Measurement(metric="disk_bytes", value=100.0 * loss, unit="B"),
        ]
        return Result(key=key, label=key, model=SMALL.reference, method=method, measurements=figures)

    dense = result("dense", "dense", 3.0)
    pairs = [(result(k, "angular", x), dense) for k, x in (("six", 4.5), ("two", 3.25), ("four", 3.5))]
    found = {p.technique.id: p.measured for p in advise(Situation(SMALL), pairs)[0]}
    assert found["depth"].startswith("two: loss 3.25 nats (+0.25 nats). The file is 108 %") and found["int8"] == ""


situations = st.builds(
    Situation,
    st.sampled_from([SMALL, ENCODER, MIXTURE]),
    st.sampled_from(get_args(Deployment)),
    st.sampled_from(get_args(Quality)),
    st.sampled_from(get_args(Data)),
    st.sampled_from(get_args(Compute)),
    st.none() | st.floats(1, 1e5),
    st.booleans(),
    st.booleans(),
)


@given(situations)
def test_there_is_always_advice_and_zeros_never_lead_it(situation: Situation) -> None:
    plans, refused = advise(situation)
    solved = [p for p in plans if p.technique.id == "solved"]  # worked out for the memory that was named
    assert len(solved) <= (situation.memory_mb is not None)
    assert len(plans) - len(solved) + len(refused) == len(TECHNIQUES)
    assert plans[-1].technique.id == "zeros" and plans[0].technique.id != "zeros"
    for one in plans:
        said = {word for answer, word in WORDS.items() if one.technique.points.get(answer, 0) > 0}
        assert set(one.reasons) <= said
        assert one.score == sum(one.technique.points.get(a, 0) for a in situation.answers())
    assert advise(replace(situation))[0] == plans
