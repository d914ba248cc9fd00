"""The keys of trials: hashes of everything that determines a figure, so that nothing is computed twice or mixed up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from pydantic import BaseModel

from core.recipe.recipe import Distil, Prune, Quantise, Recipe, Select
from core.recipe.results import ENGINE_REVISION, FIGURES_REVISION, Trial
from core.registry.additions import package_of
from core.registry.metrics import METRICS

_ALWAYS = ("torch", "transformers", "tokenizers")
_LATER: Mapping[str, object] = {"columns": None, "heal": "none", "labelling": None, "name": ""}
"""Keys that recipes have had since other keys of trials were made: left out where they say what was done before."""

_NEVER = object()


@dataclass(frozen=True)
class Identity:
    """What a recipe does not say itself.

    Attributes:
        model: identifies the model's exact bytes (`core.catalogue.fingerprint`).
        contents: what identifies the bytes behind every reference of the recipe (`core.catalogue.contents`).
        dtype: what the models compute in, since `auto` depends on the machine.
    """

    model: str
    contents: Mapping[str, str] = field(default_factory=dict)
    dtype: str = ""

    @property
    def read(self) -> dict[str, str]:
        """Everything that was read, the model under `model`."""
        return {"model": self.model, **self.contents}


def trial_key(recipe: Recipe, identity: Identity, prune: Prune | None) -> str:
    """The key of one point of a sweep, or of the dense baseline (None).

    Names, tags, other trials, where a run works and how long it may do not count; neither do the places of files.
    """
    return hashed({**_common(recipe, identity, [prune] if prune else []), "prune": _dumped(prune, identity)})


def chain_key(recipe: Recipe, identity: Identity, steps: Sequence[BaseModel], how: Mapping[str, object]) -> str:
    """The key of what all of `steps` lead to, one after the other. `how`: what is measured, and which of a `select`."""
    chain = [_dumped(step, identity) for step in steps]
    return hashed({**_common(recipe, identity, steps), "chain": chain, "how": dict(how)})


def trials_of(recipe: Recipe, identity: Identity) -> list[Trial]:
    """The dense baseline first, then every trial of the sweep in order. Needs `recipe.sweep`."""
    assert recipe.sweep is not None
    prunes: list[Prune | None] = [None, *recipe.sweep.trials()]
    return [
        Trial(index=i, key=trial_key(recipe, identity, p), label=p.label() if p else "Dense baseline", prune=p)
        for i, p in enumerate(prunes)
    ]


def hashed(parts: object) -> str:
    """A key of 24 characters."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def library_versions(*further: str) -> dict[str, str]:
    """The versions of the libraries that figures depend on, and of `further` ones; '' for one that is not installed."""
    return {name: _version(name) for name in (*_ALWAYS, *further)}


def added_packages(recipe: Recipe, steps: Sequence[BaseModel]) -> dict[str, str]:
    """'package version' of everything from other packages that has a part in these figures, by group and id."""
    prunes = [p for s in steps for p in (s.options if isinstance(s, Select) else [s]) if isinstance(p, Prune)]
    trainings = [s.recovery if isinstance(s, Select) else s for s in steps]
    used = [("retort.methods", p.method) for p in prunes]
    used += [("retort.losses", t.loss) for s in trainings if isinstance(s, Distil) for t in s.losses]
    used += [("retort.tasks", task) for task in recipe.evaluation.tasks]
    used += [("retort.metrics", m.id) for m in METRICS.values() if m.entry]
    found = {f"{group}:{name}": package_of(group, name) for group, name in used}
    return {what: package for what, package in sorted(found.items()) if package}


def _common(recipe: Recipe, identity: Identity, steps: Sequence[BaseModel]) -> dict[str, object]:
    added = added_packages(recipe, steps)
    return {
        **({"added": added} if added else {}),
        "engine": ENGINE_REVISION,
        "figures": FIGURES_REVISION,
        "versions": library_versions(*_further(recipe, steps)),
        "model": identity.model,
        "calibration": _dumped(recipe.calibration, identity) if steps else None,
        "evaluation": _by_content(recipe.evaluation.identity(), identity),
        "tasks": [identity.contents.get(f"task:{task}") for task in recipe.evaluation.tasks],
        "latency": recipe.latency.model_dump(mode="json") if recipe.latency else None,
        "dtype": [recipe.dtype, identity.dtype],
        "seed": recipe.seed,
    }


def _further(recipe: Recipe, steps: Sequence[BaseModel]) -> list[str]:
    """Libraries beyond the usual ones that these steps' figures come from."""
    trainings = [s.recovery if isinstance(s, Select) else s for s in steps]
    found = ["lm_eval"] if recipe.evaluation.tasks and recipe.evaluation.scorer == "lm-eval" else []
    found += ["peft"] if any(isinstance(s, Distil) and s.lora is not None for s in trainings) else []
    found += ["accelerate"] if any(isinstance(s, Distil) for s in trainings) else []
    found += ["torchao"] if any(isinstance(s, Quantise) for s in steps) else []
    return found


def _dumped(value: BaseModel | None, identity: Identity) -> object:
    return None if value is None else _by_content(value.model_dump(mode="json"), identity)


def _by_content(value: object, identity: Identity) -> object:
    """A document with what identifies the bytes in the place of each reference to them."""
    if isinstance(value, dict):
        return {n: _by_content(inner, identity) for n, inner in value.items() if inner != _LATER.get(n, _NEVER)}
    if isinstance(value, list):
        return [_by_content(inner, identity) for inner in value]
    return identity.contents.get(value, value) if isinstance(value, str) else value


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
