"""What a sensitivity is asked for, how its key follows, how it is kept and found, and what it is expected to take."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from core.analysis.estimate import MachineProbe, ModelSize, probe_path
from core.analysis.sensitivity import (
    Change,
    Sensitivity,
    SensitivitySpec,
    find,
    folder_of,
    measurements,
    path_of,
    read,
    seconds,
    unfinished,
    working_path,
    write,
)
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.recipe.recipe import Calibration, Evaluation

SPEC = SensitivitySpec(model="path:/somewhere", sparsities=(0.3, 0.5))


def cell(layer: int, part: str | None, sparsity: float, change: float) -> Change:
    return Change(layer=layer, part=part, sparsity=sparsity, change=change, samples=[change], parameters=10)


def found(fingerprint: str, made: float, method: str = "magnitude") -> Sensitivity:
    spec = SPEC.model_copy(update={"method": method})
    cells = [cell(0, None, 0.3, 0.1), cell(0, None, 0.5, 0.4), cell(0, "mlp", 0.5, 9.0), cell(1, None, 0.5, 0.2)]
    return Sensitivity(
        key=f"{fingerprint}-{made}".replace(".", "-"),
        fingerprint=fingerprint,
        spec=spec,
        loss=3.0,
        cells=cells,
        removed=[],
        break_even=[],
        made=made,
    )


def test_a_key_covers_what_determines_the_figures(home: Settings) -> None:
    key = SPEC.key("a", home, LOCAL)
    assert SPEC.model_copy(update={"model": "path:/elsewhere"}).key("a", home, LOCAL) == key, "only its bytes count"
    assert SPEC.key("b", home, LOCAL) != key
    assert SPEC.model_copy(update={"sparsities": (0.3,)}).key("a", home, LOCAL) != key
    other = {"calibration": Calibration(sequences=7)}
    assert SPEC.model_copy(update=other).key("a", home, LOCAL) == key, "magnitude looks at no calibration text"
    wanda = SPEC.model_copy(update={"method": "wanda"})
    assert wanda.model_copy(update=other).key("a", home, LOCAL) != wanda.key("a", home, LOCAL)
    assert SPEC.model_copy(update={"dtype": "float32"}).key("a", home, LOCAL) != key
    assert SPEC.model_copy(update={"seed": 1}).key("a", home, LOCAL) != key
    assert SPEC.model_copy(update={"removed": "nothing"}).key("a", home, LOCAL) != key
    assert SPEC.model_copy(update={"parts": False}).key("a", home, LOCAL) != key
    assert SPEC.model_copy(update={"evaluation": Evaluation(split="training", tokens=512)}).key("a", home, LOCAL) != key


def test_a_key_follows_the_text_and_not_its_place(home: Settings) -> None:
    folder = home.home / "models"
    folder.mkdir(parents=True, exist_ok=True)
    first, twin = folder / "a.txt", folder / "b.txt"
    for path in (first, twin):
        path.write_text("One text.")
    spec = SPEC.model_copy(update={"evaluation": Evaluation(data=f"path:{first}")})
    key = spec.key("a", home, LOCAL)
    assert SPEC.model_copy(update={"evaluation": Evaluation(data=f"path:{twin}")}).key("a", home, LOCAL) == key
    first.write_text("Two text.")
    assert spec.key("a", home, LOCAL) != key


@pytest.mark.parametrize(
    "wrong",
    [{"method": "block_influence"}, {"method": "no"}, {"sparsities": (1.0,)}, {"sparsities": ()}, {"tokens": 3}],
)
def test_what_cannot_be_measured_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SensitivitySpec.model_validate({"model": "path:/x", **wrong})


def test_kept_found_and_damaged(home: Settings) -> None:
    assert find(home, "a") == []
    old, new, foreign, wanda = found("a", 1.0), found("a", 2.0), found("b", 3.0), found("a", 4.0, "wanda")
    working = working_path(home, old.key, "cells")
    working.parent.mkdir(parents=True)
    working.write_text(json.dumps({"identity": {}, "cells": [cell(3, None, 0.5, 0.1).model_dump()]}))
    assert [c.layer for c in unfinished(home, old.key)[0]] == [3] and unfinished(home, old.key)[1] == []
    for each in (old, new, foreign, wanda):
        write(home, each)
    assert not working.exists(), "what it was made from goes"
    assert [f.made for f in find(home, "a")] == [4.0, 2.0, 1.0]
    assert find(home, "a", "magnitude") == [new, old]
    assert read(home, new.key) == new
    path_of(home, new.key).write_text("{")
    assert read(home, new.key) is None and find(home, "a", "magnitude") == [old]
    assert not list(folder_of(home).glob("*.tmp"))


def test_curves_are_of_whole_layers() -> None:
    assert found("a", 1.0).curves() == {0: {0.3: 0.1, 0.5: 0.4}, 1: {0.5: 0.2}}
    assert {i: c.change for i, c in found("a", 1.0).whole(0.5).items()} == {0: 0.4, 1: 0.2}


def test_counts_and_time(home: Settings) -> None:
    assert measurements(SPEC, layers=3, parts=7, heads=4) == 1 + 3 * 8 * 2 + 3
    bare = SPEC.model_copy(update={"parts": False, "removed": "layers_and_heads", "sparsities": (0.5, 0.5)})
    assert measurements(bare, layers=3, parts=7, heads=4) == 1 + 3 + 3 * 5
    size = ModelSize(parameters=10**8, active_parameters=10**8, block_parameters=10**8, layers=3, disk_bytes=1)
    assert seconds(SPEC, size, home, 100) is None
    probe = MachineProbe(
        dtype="float32",
        threads=1,
        forward_flops=1e11,
        decode_seconds_per_layer=1,
        rank_weights_per_second=1e8,
        write_bytes_per_second=1,
    )
    probe_path(home).write_text(probe.model_dump_json())
    few, many = seconds(SPEC, size, home, 100), seconds(SPEC, size, home, 200)
    assert few is not None and many is not None
    forward = 2 * 10**8 * 4096 / 1e11
    assert many - few == pytest.approx(100 * forward * 0.55)
