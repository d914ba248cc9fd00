"""Students made from their teacher: the right layers, the teacher's weights, the teacher untouched."""

from __future__ import annotations

import pytest
import torch

from core.base.errors import RetortError
from core.base.progress import InMemoryReporter
from core.engine.distil.batches import Windows
from core.engine.distil.student import design_student, spread
from core.engine.models.load import Loaded
from core.recipe.distil import Design
from core.recipe.recipe import Sizes


def test_spread_keeps_both_ends() -> None:
    assert spread(6, 12) == [0, 2, 4, 7, 9, 11]
    assert spread(4, 4) == [0, 1, 2, 3] and spread(1, 9) == [0]
    assert all(len(set(spread(k, 30))) == k for k in range(1, 31))


def test_a_shallower_student_starts_from_the_teachers_layers(teacher: Loaded) -> None:
    before = {n: p.clone() for n, p in teacher.model.named_parameters()}
    made = design_student(teacher, Design(layers=3), None, None, InMemoryReporter())
    assert made.layers_kept == [0, 2, 3] == spread(3, 4) and made.loaded.model.config.num_hidden_layers == 3
    for i, original in enumerate(made.layers_kept):
        mine, theirs = made.loaded.model.model.layers[i], teacher.model.model.layers[original]
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))
    with torch.no_grad():
        for parameter in made.loaded.model.parameters():
            parameter.zero_()
    assert all(torch.equal(p, before[n]) for n, p in teacher.model.named_parameters())


def test_by_importance_the_least_useful_layer_goes(teacher: Loaded, windows: Windows) -> None:
    with torch.no_grad():  # layer 1 changes almost nothing, so its influence is the lowest
        for linear in (teacher.model.model.layers[1].self_attn.o_proj, teacher.model.model.layers[1].mlp.down_proj):
            linear.weight.mul_(1e-3)
    made = design_student(teacher, Design(layers=3, initialise="importance"), None, windows.ids[:8], InMemoryReporter())
    assert made.layers_kept == [0, 2, 3]


def test_a_narrower_student(teacher: Loaded, windows: Windows) -> None:
    made = design_student(
        teacher, Design(layers=2, sizes=Sizes(intermediate=32)), None, windows.ids[:8], InMemoryReporter()
    )
    config = made.loaded.model.config
    assert (config.num_hidden_layers, config.intermediate_size, config.hidden_size) == (2, 32, 32)
    assert made.layers_kept == [0, 3]
    assert made.loaded.model.model.layers[1].mlp.up_proj.weight.shape == (32, 32)


def test_from_random_weights(teacher: Loaded) -> None:
    made = design_student(teacher, Design(layers=2, initialise="random"), None, None, InMemoryReporter())
    mine, theirs = (m.model.layers[0].mlp.up_proj.weight for m in (made.loaded.model, teacher.model))
    assert made.layers_kept is None and not torch.allclose(mine, theirs)


def test_more_layers_than_the_teacher_are_refused(teacher: Loaded) -> None:
    with pytest.raises(RetortError, match="should have 5 layers, and the teacher has 4"):
        design_student(teacher, Design(layers=5), None, None, InMemoryReporter())
