"""The command line in a process of its own, on a home with a tiny model and two texts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.base.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """\
name: tiny study
model: path:{models}/tiny-llama
calibration: {{data: "path:{models}/calibration.txt", split: null, sequences: 4, length: 32}}
evaluation: {{data: "path:{models}/evaluation.txt", split: null, tokens: 512, window: 64}}
latency: {{prompt: 8, new_tokens: 2, repeats: 2}}
dtype: float32
"""
SWEEP = """\
sweep:
  grid:
    - method: [magnitude, wanda]
      sparsity: [0.25, 0.5]
    - method: block_influence
      target: [{remove_layers: 1}]
"""
STEPS = """\
steps:
  - {step: prune, method: block_influence, target: {remove_layers: 1}}
  - {step: evaluate}
  - {step: export}
"""


@dataclass
class Cli:
    """`python -m core` with this home."""

    settings: Settings

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "core", *words]

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "RETORT_HOME": str(self.settings.home), "PYTHONPATH": str(ROOT)}

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), env=self.env, cwd=self.settings.home, capture_output=True, text=True
        )

    def json(self, *words: str) -> tuple[int, Any]:
        """Exit status, and standard output as the one document it must be."""
        done = self(*words, "--json")
        return done.returncode, json.loads(done.stdout)

    def recipe(self, text: str) -> str:
        path = self.settings.home / "recipe.yaml"
        path.write_text(RECIPE.format(models=self.settings.home / "models") + text, "utf-8")
        return str(path)


@pytest.fixture
def cli(home: Settings) -> Cli:
    return Cli(home)


@pytest.fixture
def study(cli: Cli, tiny_llama: Path, tiny_text: str) -> Cli:
    """The home with what RECIPE names. The two texts share no sentence."""
    models = cli.settings.home / "models"
    shutil.copytree(tiny_llama, models / "tiny-llama")
    (models / "calibration.txt").write_text(tiny_text, "utf-8")
    other = "\n\n".join(f"Line {i * i}: the {i}th box holds {i * 7} bolts and {i % 13} nuts." for i in range(400))
    (models / "evaluation.txt").write_text(other, "utf-8")
    return cli
