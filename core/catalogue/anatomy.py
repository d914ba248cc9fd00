"""What a model is made of, from config.json and the safetensors headers alone: no weights are read."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from core.base.text import one_line
from core.base.untrusted_files import readable
from core.catalogue.checks import check_model_folder
from core.catalogue.classifiers import unjudged
from core.catalogue.fitness import obstacle
from core.catalogue.kinds import kind_of
from core.catalogue.manifests import read_manifest
from core.catalogue.parts import PARTS, TIED_COPY, Part, is_buffer, layer_of, part_of
from core.catalogue.safetensors_header import FLOATS, TensorFacts, read_headers
from core.catalogue.shape import Shape, read_shape
from core.catalogue.stated import WHOLE, disagreement, stated_parameters
from core.catalogue.tied import is_tied
from core.catalogue.weight_files import weight_files

_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_CARD_BYTES = 20_000  # a model card states its licence at its start
_CACHE_BYTES = 2  # the key-value cache is counted in a 16-bit type


class Layer(BaseModel):
    """Parameters of one layer, by part."""

    model_config = ConfigDict(frozen=True)
    index: int
    parameters: dict[Part, int]

    @property
    def total(self) -> int:
        return sum(self.parameters.values())


class Anatomy(BaseModel):
    """A model's sizes. Parameters count tied tensors once and stored buffers not at all."""

    model_config = ConfigDict(frozen=True)
    architecture: str
    shape: Shape
    parameters: int
    """As the files hold them."""
    stated_parameters: int = 0
    """What the config makes at least; 0 where its family is not known."""
    active_parameters: int
    """Parameters one token passes through: fewer than all in a mixture of experts."""
    by_part: dict[Part, int]
    layers: tuple[Layer, ...]
    tied: bool
    """True where the output head is the word embeddings."""
    dtype: str
    """Type most of the stored bytes have."""
    disk_bytes: int
    """Bytes of the files that hold the weights, as the metric `disk_bytes`; tokenizer and config are not counted."""
    licence: str
    note: str
    source: str
    obstacle: str = ""
    """Why Retort can do nothing with the model, whatever the machine; empty where it can."""
    way_on: str = ""
    """What to do about the obstacle."""
    unjudged: str = ""
    """Why Retort cannot say how often the model is right (it gives no single class); empty where it can."""

    @property
    def allocated(self) -> int:
        """Parameters that are there once it is loaded: the files' or the config's, whichever are more."""
        return max(self.parameters, self.stated_parameters)

    def bytes_in(self, dtype: str) -> int:
        """Bytes of the weights in float32, bfloat16, float16 or int8 (scales of int8 not counted)."""
        return self.allocated * {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}[dtype]

    @property
    def kv_bytes_per_token(self) -> int | None:
        """16-bit key-value cache one more token takes, before any sliding window is full; None: keeps no cache."""
        return self.kv_bytes(1)

    def kv_bytes(self, tokens: int) -> int | None:
        """16-bit key-value cache of one sequence of `tokens`; layers with a sliding window keep no more than it."""
        shape = self.shape
        if shape.task != "causal" or not shape.windows or shape.kv_heads is None or shape.head_dim is None:
            return None
        kept = sum(tokens if window is None else min(tokens, window) for window in shape.windows)
        return 2 * shape.kv_heads * shape.head_dim * _CACHE_BYTES * kept


def anatomy(folder: Path) -> Anatomy:
    """Reads a model folder.

    Raises:
        RetortError: the folder is no model Retort opens, or a header is damaged.
    """
    with readable(folder):
        return _anatomy(folder, check_model_folder(folder))


def _anatomy(folder: Path, config: dict[str, Any]) -> Anatomy:
    tensors = read_headers(folder)
    shape = read_shape(config).model_copy(update={"task": kind_of(config, tensors)})
    tied = is_tied(config, shape.task, tensors)
    parameters = {
        name: facts.count
        for name, facts in tensors.items()
        if facts.dtype in FLOATS and not is_buffer(name) and not (tied and TIED_COPY.match(name))
    }
    layers = _by_layer(parameters, shape.encoder_layers)
    count = sum(parameters.values())
    inner = config.get("text_config")
    stated = stated_parameters({**config, **inner} if isinstance(inner, dict) else config, shape)
    named = config.get("architectures")
    licence, note, source = _provenance(folder)
    cause, remedy = obstacle(folder, config, tensors)
    if not cause and (gap := disagreement(shape, tensors, stated, count)):
        cause, remedy = f"The model is not complete: {gap}", WHOLE
    return Anatomy(
        architecture=one_line(str(named[0]), 80) if isinstance(named, list) and named else shape.family,
        shape=shape,
        parameters=count,
        stated_parameters=stated,
        active_parameters=count - _idle_experts(parameters, shape),
        by_part=_sum_parts(parameters),
        layers=layers,
        tied=tied,
        dtype=_main_dtype(tensors),
        disk_bytes=sum(path.stat().st_size for path in weight_files(folder)),
        licence=licence,
        note=note,
        source=source,
        obstacle=cause,
        way_on=remedy,
        unjudged=unjudged(config) or "",
    )


def _sum_parts(parameters: dict[str, int]) -> dict[Part, int]:
    sums: Counter[Part] = Counter()
    for name, count in parameters.items():
        sums[part_of(name)] += count
    return {part: sums[part] for part in PARTS if sums[part]}


def _by_layer(parameters: dict[str, int], encoder_layers: int) -> tuple[Layer, ...]:
    inside: dict[int, dict[str, int]] = {}
    for name, count in parameters.items():
        index, _ = layer_of(name, encoder_layers)
        if index is not None:
            inside.setdefault(index, {})[name] = count
    return tuple(Layer(index=i, parameters=_sum_parts(inside[i])) for i in sorted(inside))


def _idle_experts(parameters: dict[str, int], shape: Shape) -> int:
    """Parameters of the routed experts a token does not visit."""
    if not shape.experts or not shape.active_experts:
        return 0
    routed = sum(count for name, count in parameters.items() if re.search(r"\.experts\.", name))
    return routed * max(0, shape.experts - shape.active_experts) // shape.experts


def _main_dtype(tensors: dict[str, TensorFacts]) -> str:
    stored: Counter[str] = Counter()
    for facts in tensors.values():
        stored[facts.dtype] += facts.bytes
    return _NAMES.get(stored.most_common(1)[0][0], stored.most_common(1)[0][0]) if stored else "unknown"


def _provenance(folder: Path) -> tuple[str, str, str]:
    """Licence, note and source: from a sample's manifest, or the licence line of a model card."""
    manifest = read_manifest(folder)
    if manifest:
        return manifest.licence, manifest.note, manifest.source
    card = folder / "README.md"
    if card.is_file():
        with card.open("rb") as file:
            head = file.read(_CARD_BYTES).decode("utf-8", "replace")
        front = re.match(r"\ufeff?---\s*\n(.*?)\n---", head, re.DOTALL)
        found = re.search(r"^licen[sc]e:\s*['\"]?([\w.+ -]+)", front[1], re.MULTILINE) if front else None
        if found:
            return one_line(found[1], 80), "", "model card"
    return "", "", ""
