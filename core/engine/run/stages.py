"""A recipe's steps as stages, each of which yields a candidate; planned before any work, so that keys are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from core.base.errors import Impossible
from core.engine.run.candidate import MeasureSpec
from core.recipe import labels
from core.recipe.recipe import Distil, Evaluate, Export, Measure, Prune, Quantise, Recipe, Select, Step, Trim
from core.recipe.results import Trial
from core.recipe.trial_keys import Identity, chain_key

Changing = Prune | Trim | Distil | Quantise | Select
SpreadBy = Callable[[Sequence[Changing]], Sequence[str]]
Role = Literal["step", "aside", "option", "recovery"]


@dataclass(frozen=True)
class Stage:
    """A step that changes the model (none: the model as it came), and what is done with what it yields.

    Attributes:
        role: `step`: the next stage goes on from it; `aside`: it does not; `option` and `recovery`: parts of a
            `select`, of which only the winner is gone on from.
        rank: of a recovery: which option it trains, 0 for the one with the lowest loss.
        last: of a recovery: the winner is known after it.
    """

    trial: Trial
    wanted: MeasureSpec
    exports: tuple[Export, ...] = ()
    role: Role = "step"
    rank: int = 0
    last: bool = False


def stages_of(recipe: Recipe, identity: Identity, spread_by: SpreadBy = lambda steps: ()) -> list[Stage]:
    """The stages of a recipe. What one stage measures the baseline measures too, or nothing could be compared.

    A stage's key covers all steps before it.

    Args:
        spread_by: the measured sensitivities that these steps, one after the other, may be spread by.
    """
    groups: list[list[Step]] = [[]]
    for step in recipe.steps:
        if isinstance(step, Changing):
            groups.append([])
        groups[-1].append(step)
    quality = any(isinstance(s, Evaluate | Select) for s in recipe.steps)
    cost = any(isinstance(s, Measure) for s in recipe.steps)
    plan = _Plan(recipe, identity, spread_by, [], [])
    plan.add([], MeasureSpec(quality, cost), _exports(groups[0]))
    for group in groups[1:]:
        first = group[0]
        assert isinstance(first, Changing)
        _refuse_later_teacher(first, len(plan.chain))
        wanted = MeasureSpec(*(any(isinstance(s, kind) for s in group) for kind in (Evaluate, Measure)))
        if isinstance(first, Select):
            plan.select(first, replace(wanted, quality=True), _exports(group))
        elif isinstance(first, Quantise) and first.of == "baseline":
            plan.add([first], wanted, _exports(group), role="aside")
        else:
            plan.chain.append(first)
            plan.add(plan.chain, wanted, _exports(group))
    return plan.stages


def _refuse_later_teacher(step: Changing, done: int) -> None:
    trainings = [s for s in (step, getattr(step, "recovery", None)) if isinstance(s, Distil)]
    for training in trainings:
        if training.earlier_step is not None and training.earlier_step > done:
            raise Impossible(
                f"The teacher '{training.teacher}' is no step before this one: {done} changed the model by then.",
                "Name an earlier step that prunes or trains (counted from 1), 'baseline', or a model reference.",
            )


@dataclass
class _Plan:
    """The stages so far, and the chain of steps that leads to the model the next one starts from."""

    recipe: Recipe
    identity: Identity
    spread_by: SpreadBy
    chain: list[Changing]
    stages: list[Stage]

    def add(
        self, steps: Sequence[Changing], wanted: MeasureSpec, exports: tuple[Export, ...], role: Role = "step"
    ) -> None:
        """A stage that is one step after the others of `steps`."""
        label = "" if steps else "Dense baseline"
        for step in steps:
            label = labels.joined(label, step.label(), getattr(step, "name", ""))
        self._append(steps[-1] if steps else None, label, self._key(steps, wanted), wanted, exports, role)

    def select(self, step: Select, wanted: MeasureSpec, exports: tuple[Export, ...]) -> None:
        """One stage an option, and one a recovery: which option that trains is known once all are measured."""
        for option in step.options:
            self.add([*self.chain, option], wanted, (), role="option")
        self.chain.append(step)
        for rank in range(step.best):
            self._append(
                step.recovery,
                f"{_ORDINALS.get(rank, f'{rank + 1}th')} option, recovered",
                self._key(self.chain, wanted, rank),
                wanted,
                exports if rank + 1 == step.best else (),
                "recovery",
                rank,
                rank + 1 == step.best,
            )

    def _append(
        self,
        step: Changing | None,
        label: str,
        key: str,
        wanted: MeasureSpec,
        exports: tuple[Export, ...],
        role: Role,
        rank: int = 0,
        last: bool = False,
    ) -> None:
        trial = Trial(
            index=len(self.stages),
            key=key,
            label=label,
            prune=step if isinstance(step, Prune) else None,
            distil=step if isinstance(step, Distil) else None,
            quantise=step if isinstance(step, Quantise) else None,
            trim=step if isinstance(step, Trim) else None,
        )
        self.stages.append(Stage(trial, wanted, exports, role, rank, last))

    def _key(self, steps: Sequence[Changing], wanted: MeasureSpec, rank: int | None = None) -> str:
        per_byte = {"per_byte": True} if self.recipe.retokenises else {}
        how = {**asdict(wanted), "rank": rank, "sensitivities": list(self.spread_by(steps)), **per_byte}
        return chain_key(self.recipe, self.identity, steps, how)


_ORDINALS = {0: "Best", 1: "2nd", 2: "3rd"}


def _exports(group: Sequence[Step]) -> tuple[Export, ...]:
    return tuple(s for s in group if isinstance(s, Export))
