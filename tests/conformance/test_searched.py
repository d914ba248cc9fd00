"""The search over widths and depth against every shape tried by hand: healed by numpy, put together, and judged."""

from __future__ import annotations

import copy
import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.base.line_files import entries
from core.base.progress import InMemoryReporter
from core.engine.models.architectures import adapter_for
from core.engine.prune.depth import DepthContext
from core.engine.prune.folded_runs import runs_of
from core.engine.prune.obs import Removal, removal_scores
from core.engine.prune.search_work import SearchWork
from core.engine.prune.searched import searched
from core.engine.prune.surgery import Keep
from core.engine.prune.targets import Question
from core.recipe.recipe import Prune, Target
from tests.conformance.test_healed_spans import FITTED, JUDGED, TOKENS, WINDOWS, by_the_best_ridge, made_up
from tests.conformance.test_healing import matrix, seen
from tests.engine.models.zoo import tiny

HIDDEN, HEADS, GROUPS, HEAD, NEURONS, LAYERS = 48, 6, 2, 8, 40, 4
PRUNE = Prune(method="searched", target=Target(block_fraction=0.3))


def block_parameters(neurons: int, groups: int) -> int:
    """Of a Llama layer: queries and output, keys and values, three matrices of the MLP, two norms."""
    heads = groups * HEADS // GROUPS
    return 2 * HIDDEN * heads * HEAD + 2 * HIDDEN * groups * HEAD + 3 * HIDDEN * neurons + 2 * HIDDEN


def healed_by_hand(model: Any, layer: int, part: str, count: int) -> tuple[list[int], np.ndarray]:
    """Units that stay, and the projection (in, out) with zeros for those that are gone."""
    name = f"model.layers.{layer}.{'mlp.down_proj' if part == 'neurons' else 'self_attn.o_proj'}"
    x, after = seen(model, name)[0][:TOKENS], seen(model, f"model.layers.{layer}")[1][:TOKENS]
    w, dense = 1 / np.sqrt(np.mean(after**2, axis=1)), matrix(model, name)
    weighted = x[:FITTED] * w[:FITTED, None]
    moments, units = torch.tensor(weighted.T @ weighted), NEURONS if part == "neurons" else GROUPS
    if part == "neurons":
        scores = removal_scores(Removal(torch.tensor(dense.T), moments, 1, 1, 1, 8))
    else:
        scores = removal_scores(Removal(torch.tensor(dense.T), moments, HEAD, GROUPS, 1, HEADS // GROUPS))
        scores = scores.view(GROUPS, -1).sum(1)
    kept = sorted(np.argsort(-scores.numpy(), kind="stable")[:count].tolist())
    columns = np.arange(len(dense)).reshape(units, -1)[kept].flatten()
    gone = np.setdiff1d(np.arange(len(dense)), columns)
    new = np.zeros_like(dense)
    new[columns] = dense[columns]
    change = by_the_best_ridge(x[:, columns], x[:, gone] @ dense[gone], w)
    if change is not None:
        new[columns] += change
    return kept, new


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny("llama")


@pytest.fixture(scope="module")
def by_hand(model: Any) -> dict[tuple[int, int, tuple[int, ...]], float]:
    """KL from the dense model of every shape from which as few layers are gone as three tenths of the blocks ask."""
    tokens = WINDOWS[-JUDGED:]
    with torch.no_grad():
        p = torch.softmax(model(tokens).logits.double(), -1)
    parts = {
        (layer, part, count): healed_by_hand(model, layer, part, count)[1]
        for layer in range(LAYERS)
        for part, counts in (("neurons", (8, 16, 24, 32)), ("groups", (1,)))
        for count in counts
    }
    maps = {run: made_up(model, *run) for run in itertools.combinations(range(LAYERS + 1), 2) if run != (0, LAYERS)}
    found = {}
    whole = LAYERS * block_parameters(NEURONS, GROUPS)
    for neurons, groups in itertools.product((8, 16, 24, 32, 40), (1, 2)):
        count = next(n for n in range(LAYERS) if (LAYERS - n) * block_parameters(neurons, groups) <= 0.7 * whole)
        for gone in itertools.combinations(range(LAYERS), count):
            q = torch.softmax(predicted(model, tokens, parts, maps, neurons, groups, gone).double(), -1)
            found[neurons, groups, gone] = float((p * (p / q).log()).sum(-1).mean())
    return found


def predicted(
    model: Any,
    tokens: Any,
    parts: dict[tuple[int, str, int], np.ndarray],
    maps: dict[tuple[int, int], np.ndarray | None],
    neurons: int,
    groups: int,
    gone: tuple[int, ...],
) -> Any:
    """Logits of a copy with these matrices, whose layers that are gone write nothing."""
    changed = copy.deepcopy(model)
    runs = dict(runs_of(gone))
    with torch.no_grad():
        for i, layer in enumerate(changed.model.layers):
            down = parts.get((i, "neurons", neurons), matrix(model, f"model.layers.{i}.mlp.down_proj"))
            output = parts.get((i, "groups", groups), matrix(model, f"model.layers.{i}.self_attn.o_proj"))
            change = maps.get((i + 1, runs.get(i + 1, -1)))
            down = down if change is None else down @ (np.eye(HIDDEN) + change)
            layer.mlp.down_proj.weight.copy_(torch.tensor(down.T if i not in gone else 0 * down.T))
            layer.self_attn.o_proj.weight.copy_(torch.tensor(output.T if i not in gone else 0 * output.T))
        return changed(tokens).logits


def run(
    model: Any, work: SearchWork, prune: Prune = PRUNE, reporter: InMemoryReporter | None = None
) -> tuple[Keep, InMemoryReporter]:
    architecture, reporter = adapter_for(model), reporter or InMemoryReporter()
    free = tuple(range(LAYERS))
    context = DepthContext(model, architecture, None, WINDOWS, 0, free, reporter, [])
    question = Question(model, None, architecture, ("layers", "neurons", "kv_groups"), free, 8)
    return searched(context, question, prune, work), reporter


def test_the_search_finds_the_best_of_all_shapes(model: Any, by_hand: Any, tmp_path: Path) -> None:
    before = [p.detach().clone() for p in model.parameters()]
    keep, reporter = run(model, SearchWork(tmp_path))
    best = min(by_hand, key=lambda shape: by_hand[shape])
    neurons = len(keep.units["neurons"][0]) if "neurons" in keep.units else NEURONS
    groups = len(keep.units["kv_heads"][0]) if "kv_heads" in keep.units else GROUPS
    assert (neurons, groups, tuple(i for i in range(LAYERS) if i not in keep.layers)) == best
    curve = [value for name, _, value in reporter.points if name.startswith("search/")]
    assert curve == sorted(curve, reverse=True) and curve[-1] == pytest.approx(by_hand[best], rel=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


class Dying(InMemoryReporter):
    """Kills its process, as a power cut would, when a search is about to judge once more than `after` times."""

    def __init__(self, record: Path, after: int) -> None:
        super().__init__()
        self.record, self.after = record, after

    def checkpoint(self) -> None:
        if len(list(entries(self.record))) == self.after:
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_search_ends_as_it_would_have_and_judges_nothing_twice(model: Any, tmp_path: Path) -> None:
    whole = SearchWork(tmp_path / "whole", tmp_path / "whole.judged")
    keep, _ = run(model, whole)
    folder, record = tmp_path / "killed", tmp_path / "killed.judged"
    code = (
        "from pathlib import Path; from tests.conformance.test_searched import *; "
        f"record = Path({str(record)!r}); "
        f"run(tiny('llama'), SearchWork(Path({str(folder)!r}), record), reporter=Dying(record, 7))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    made = {path: path.stat().st_mtime_ns for path in folder.glob("layer-*")}
    before = list(entries(record))
    assert len(before) == 7 and made
    again = SearchWork(folder, record)
    resumed, _ = run(model, again)
    assert {path: path.stat().st_mtime_ns for path in made} == made, "healed parts are read, not made again"
    assert resumed.layers == keep.layers and again.found == whole.found
    assert {a: [k.tolist() for k in u] for a, u in resumed.units.items()} == {
        a: [k.tolist() for k in u] for a, u in keep.units.items()
    }
    judged = [choice for choice, _ in entries(record)]
    assert len(set(judged)) == len(judged) == again.found["judged"]
    assert list(entries(record))[:7] == before
