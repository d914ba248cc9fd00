"""A run as a Jupyter notebook that does it again: format 4.5, written without Jupyter.

The cells find or install this version of Retort, write the recipe, run it through the command line, put the new
figures beside the old ones, load a model with plain transformers, and draw the study. What users and models wrote
(names, labels) stands in string literals only, never in code or markdown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pprint import pformat

from core import __version__
from core.analysis.paired_times import TIMES, ratio_of
from core.base.json_io import dump
from core.recipe.files import dump_recipe
from core.recipe.recipe import Recipe
from core.recipe.results import Result
from core.registry.measurement import Measurement
from core.registry.metrics import METRICS

_SAMPLE = re.compile(r"sample:([\w.-]+)")

_ABOUT = """\
# Run {run}, done again

Made by Retort {version}. The cells below find Retort, write the recipe of the run, run it, compare its figures with
the earlier ones, load a model with plain transformers, and draw the study.

Use a kernel that has torch, transformers and plotly: that of Retort's own environment has them.
"""

_FIND = """\
RETORT = ""  # folder of Retort {version}; empty: the folder of this notebook or one above it
HOME = ""  # Retort's data folder; empty: the usual one. In an empty folder everything is measured anew.

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = {version!r}
folders = [Path(RETORT).expanduser()] if RETORT else [Path.cwd(), *Path.cwd().parents]
MARKS = ("core/commands/parser.py", "scripts/bootstrap.py")
found = [f.resolve() for f in folders if all((f / p).is_file() for p in MARKS)]
if not found:
    raise RuntimeError(f"Retort was not found. Get Retort {{VERSION}} and name its folder in RETORT above.")
FOLDER = found[0]
environment = {{**os.environ, **({{"RETORT_HOME": HOME}} if HOME else {{}})}}


def answers(python):
    asked = subprocess.run([python, "-m", "core", "--version"], cwd=FOLDER, capture_output=True, text=True)
    return asked.stdout.strip() if asked.returncode == 0 else ""


own = [FOLDER / ".venv" / "bin" / "python", FOLDER / ".venv" / "Scripts" / "python.exe"]
PYTHON = next((str(p) for p in own if p.exists()), sys.executable)
if not answers(PYTHON):  # not installed yet: make Retort's environment
    subprocess.run([sys.executable, "scripts/bootstrap.py"], cwd=FOLDER, check=True)
    PYTHON = next(str(p) for p in own if p.exists())
if answers(PYTHON) != f"Retort {{VERSION}}":
    print(f"This notebook was made by Retort {{VERSION}}; this is {{answers(PYTHON)}}. Figures may differ.")
"""

_RUN_TEXT = """\
## Run it

Models and texts named `path:` must lie under `models` in the data folder, or under `RETORT_ROOTS`. What the data
folder has already is not computed again.
"""

_RUN = '''\
def retort(*words):
    """One command of Retort: its progress is printed, its answer returned."""
    command = [PYTHON, "-m", "core", *words, "--json"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        process = subprocess.Popen(command, cwd=FOLDER, env=environment, stdout=out, stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            print(line, end="")
        process.wait()
        out.seek(0)
        answer = json.load(out)
    if answer.get("error"):
        raise RuntimeError(answer["error"]["cause"] + " " + answer["error"]["remedy"])
    return answer


for sample in {samples!r}:
    retort("fetch", sample)
run = retort("run", str(recipe))
print(f"Run {{run['id']}}: {{run['trials']['done']}} of {{run['trials']['total']}} candidates measured.")
'''

_COMPARE_TEXT = """\
## The same figures?

Quality should come out the same with the same versions. Times are shares of the dense model's, timed in turns:
milliseconds depend on the machine and the moment.
"""

_COMPARE = """\
# key of the candidate: its name, and of each metric the value and the ends of its interval
EARLIER = {earlier}
MEASURED_WITH = {versions}
now = {{c["key"]: c for c in run["candidates"]}}
by_label = {{c["label"]: c for c in run["candidates"]}}
print(f"{{'':44}}{{'metric':20}}{{'earlier':>14}}{{'now':>14}}")
for key, (label, figures) in EARLIER.items():
    again = now.get(key) or by_label.get(label)
    values = {{m["metric"]: m["settings"].get("ratio", m["value"]) for m in again["measurements"]}} if again else {{}}
    for metric, (value, low, high) in figures.items():
        shown = ["-" if v is None else f"{{v:.6g}}" for v in (value, values.get(metric))]
        print(f"{{label[:42]:44}}{{metric:20}}{{shown[0]:>14}}{{shown[1]:>14}}")
for name, version in MEASURED_WITH.items():
    here = next((c["versions"][name] for c in run["candidates"] if name in c["versions"]), version)
    if here != version:
        print(f"{{name}} was {{version}} then and is {{here}} now.")
"""

_LOAD_TEXT = """\
## A model of it, with plain transformers

Nothing of Retort is needed to use what it made.
"""

_LOAD = """\
import torch
import transformers

where = subprocess.run(
    [PYTHON, "-c", "from core.base.settings import Settings; print(Settings.load().home)"],
    cwd=FOLDER, env=environment, capture_output=True, text=True, check=True,
).stdout.strip()
kept = [c for c in run["candidates"] if c["saved"]]
if kept:
    chosen = kept[-1]
    folder = Path(where) / "candidates" / chosen["key"] / "model"
    kind = transformers.AutoConfig.from_pretrained(folder).architectures[0]
    model = getattr(transformers, kind).from_pretrained(folder, dtype="auto")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer("The old mill by the river", return_tensors="pt")
    with torch.no_grad():
        if model.can_generate():
            # greedy, whatever the model's own generation settings ask for
            model.generation_config = transformers.GenerationConfig(eos_token_id=model.generation_config.eos_token_id)
            written = model.generate(**prompt, max_new_tokens=20, do_sample=False)
            print(tokenizer.decode(written[0], skip_special_tokens=True))
        else:
            print({k: tuple(v.shape) for k, v in model(**prompt).items() if hasattr(v, "shape")})
    print(f"{chosen['label']}: {kind}, {model.num_parameters():,} parameters, in {folder}")
else:
    print("This run keeps no model. Set 'keep: all' under 'sweep' in the recipe above to keep them.")
"""

_DRAW = """\
import plotly.graph_objects as go

QUALITY = [m for m in {quality!r} if any(x["metric"] == m for c in run["candidates"] for x in c["measurements"])]
figure = go.Figure()
for candidate in run["candidates"]:
    values = {{m["metric"]: m for m in candidate["measurements"]}}
    if not QUALITY or QUALITY[0] not in values or "disk_bytes" not in values:
        continue
    size, quality = values["disk_bytes"], values[QUALITY[0]]
    if quality["value"] is None:  # infinite: a ruined model
        continue
    low, high = quality["low"], quality["high"]
    error = {{"array": [high - quality["value"]], "arrayminus": [quality["value"] - low], "symmetric": False}}
    label = "".join(c for c in candidate["label"] if c not in "<>&")
    figure.add_scatter(
        x=[size["value"] / 1e6], y=[quality["value"]], mode="markers", name=label,
        error_y=None if low is None or high is None else error,
        marker={{"size": 12, "symbol": "star" if candidate["baseline"] else "circle"}},
    )
figure.update_layout(xaxis_title="Weights on disk, MB", yaxis_title=QUALITY[0] if QUALITY else "")
figure.update_layout(template="plotly_white")
figure.write_html("run-{run}.html")
figure
"""


def notebook(run_id: str, recipe: Recipe, results: Sequence[Result] = ()) -> str:
    """The notebook as JSON. `results`: what the run found, to compare with.

    Source: the nbformat 4.5 schema of Jupyter.
    """
    samples = list(dict.fromkeys(_SAMPLE.findall(dump_recipe(recipe))))
    versions = {n: v for r in results[:1] for n, v in sorted(r.versions.items())}
    quality = [m.id for m in METRICS.values() if m.role == "quality" and m.id not in ("loss", "loss_change")]
    cells = [
        ("markdown", _ABOUT.format(run=run_id, version=__version__)),
        ("code", _FIND.format(version=__version__)),
        ("markdown", "## The recipe\n\nChange it for a variation."),
        (
            "code",
            f"RECIPE = {_literal(dump_recipe(recipe))}\n"
            f'recipe = Path("run-{run_id}.yaml").resolve()\nrecipe.write_text(RECIPE, encoding="utf-8")\n',
        ),
        ("markdown", _RUN_TEXT),
        ("code", _RUN.format(samples=samples)),
        ("markdown", _COMPARE_TEXT),
        ("code", _COMPARE.format(earlier=pformat(_figures(results), width=112, sort_dicts=False), versions=versions)),
        ("markdown", _LOAD_TEXT),
        ("code", _LOAD),
        ("markdown", "## The study\n\nOpen the HTML file it writes, or look here."),
        ("code", _DRAW.format(quality=quality, run=run_id)),
    ]
    document = {
        "cells": [_cell(i, kind, text.rstrip("\n")) for i, (kind, text) in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return dump(document) + "\n"


def _cell(place: int, kind: str, text: str) -> dict[str, object]:
    cell: dict[str, object] = {"cell_type": kind, "id": f"cell-{place}", "metadata": {}, "source": text}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def _literal(text: str) -> str:
    """A Python literal over several lines that reads back as `text`."""
    inner = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"').replace("\r", "\\r").replace("\0", "\\0")
    return f'"""\\\n{inner}"""' if not inner.endswith('"') else repr(text)


def _figures(results: Sequence[Result]) -> dict[str, tuple[str, dict[str, tuple[float | None, ...]]]]:
    return {
        r.key: (r.label, dict(_told(m) for m in r.measurements if m.metric not in TIMES or ratio_of(m)))
        for r in results
    }


def _told(m: Measurement) -> tuple[str, tuple[float | None, ...]]:
    """A figure and the ends of its interval; of a time, the ratio to the dense model's."""
    values = ratio_of(m) or (m.value, m.low, m.high)
    return m.metric, tuple(map(_finite, values))


def _finite(value: float | None) -> float | None:
    """Eight digits are enough to compare, and there is no literal for an infinity."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.8g}")
