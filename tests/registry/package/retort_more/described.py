"""What the package adds, as data: no torch here."""

from __future__ import annotations

from pathlib import Path

from core.registry.formats import Format
from core.registry.losses import Loss
from core.registry.methods import Method
from core.registry.metrics import Metric
from core.registry.tasks import TaskSet

DOES = "retort_more.does"
TEXT = "no method"
COLUMNS = Method(
    id="columns",
    label="Columns",
    family="weight",
    kind="score",
    entry=f"{DOES}:columns",
    summary="Zeroes the last columns.",
    source="A test",
)
TAKEN = COLUMNS.model_copy(update={"id": "wanda"})
NO_FUNCTION = COLUMNS.model_copy(update={"id": "folder", "entry": "/etc/passwd"})
HUBER = Loss(
    id="huber",
    label="Huber",
    group="logit",
    kind="logits",
    entry=f"{DOES}:huber",
    summary="Squared error that large differences do not drown.",
    source="Huber 1964",
)
LARGEST = Metric(
    id="largest_token",
    label="Largest token",
    unit="",
    better="higher",
    role="detail",
    explain="The largest token id of the evaluation text.",
    entry=f"{DOES}:largest_token",
)
NEVER = LARGEST.model_copy(update={"id": "never", "label": "Never", "entry": f"{DOES}:gone"})
NAMES = Format(
    "names",
    "Names of tensors",
    "A text file.",
    f"{DOES}:write_names",
    "retort_more.possible:always",
    "retort_more.possible:remark",
    weights=(".txt",),
)
COLOURS = TaskSet(
    "colours",
    "Colours",
    normalised=False,
    item_tokens=8,
    folder=str(Path(__file__).parent),
    entry=f"{DOES}:colour",
    split="colours",
)
