"""Is this folder a model Retort may open? Safetensors only, no code of its own, inside the allowed roots."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from core.base.errors import RetortError
from core.base.json_io import load
from core.base.settings import Settings
from core.base.text import is_whole, one_line
from core.base.untrusted_files import read_bounded, readable, reason
from core.catalogue.shape import absurd_layers

PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_CONFIG_BYTES = 4_000_000
_INDEX_BYTES = 24_000_000
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
"""The weights transformers loads: one file, or the parts that an index names."""
_ENTRIES = 20_000
"""Files and folders a model folder may hold."""
_DEPTH = 20


def inside_roots(path: str | Path, settings: Settings) -> Path:
    """The real path (symlinks resolved). Raises RetortError where it does not exist or lies outside the roots."""
    shown = one_line(str(path), 200)
    try:
        if not is_whole(str(path)):
            raise ValueError("its name is not UTF-8 text")
        real = Path(path).expanduser().resolve()
        roots = [root.resolve() for root in settings.roots]
        inside = any(real.is_relative_to(root) for root in roots)
        exists = inside and real.exists()  # of what lies outside, not even that is told
    except (OSError, RuntimeError, ValueError) as error:
        raise RetortError(
            f"'{shown}' is no usable path ({reason(error)}).", "Give the full path of a file or a folder."
        ) from error
    if not inside:
        allowed = ", ".join(str(root) for root in roots) or "none is set"
        raise RetortError(
            f"'{shown}' is outside the folders Retort may read ({allowed}).",
            "Move it there, or add its folder to RETORT_ROOTS and restart.",
        )
    if not exists:
        raise RetortError(f"'{shown}' does not exist.", "Check the spelling of the path.")
    return real


def read_json(path: Path, most: int = _CONFIG_BYTES) -> dict[str, Any]:
    """A JSON object from a file of a model folder, of at most `most` bytes. Raises RetortError where it is not one."""
    try:
        found = load(read_bounded(path, most))
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError) as error:
        raise RetortError(
            f"{one_line(path.name, 80)} in {one_line(str(path.parent), 200)} cannot be read ({reason(error)}).",
            "Save or download the model again.",
        ) from error
    return found


def check_model_folder(folder: Path) -> dict[str, Any]:
    """Refuses what Retort never opens; returns the parsed config.

    Raises:
        RetortError: no folder, empty, no config, remote code, pickles only, no weights, packed weights, or a folder
            the file system will not show.
    """
    with readable(folder):
        return _check(folder)


def _check(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise RetortError(f"'{folder}' is not a folder.", "Give the folder that holds config.json and the weights.")
    if not any(folder.iterdir()):
        raise RetortError(f"The folder '{folder}' is empty.", "Download or save the model into it first.")
    if not (folder / "config.json").is_file():
        raise RetortError(
            f"'{folder}' is not a model: it has no config.json.",
            "Give the folder 'save_pretrained' wrote, with config.json and .safetensors files.",
        )
    config = read_json(folder / "config.json")
    _refuse_code(folder, config)
    if absurd_layers(config):
        raise RetortError(
            f"config.json in '{folder}' states more layers than any model has.", "Save or download the model again."
        )
    names = [p.name for p in folder.iterdir() if p.is_file()]
    check_weights(str(folder), names)
    _refuse_other_weights(folder, config, names)
    if kind := packed(config):
        name = one_line(str(kind.get("quant_method", "quantised")), 40) if isinstance(kind, dict) else "quantised"
        raise RetortError(
            f"The weights in '{folder}' are packed ({name}), so they can be neither pruned nor trained.",
            "Use the original model in bfloat16, float16 or float32.",
        )
    return config


def packed(config: dict[str, Any]) -> Any:
    """What a config says about weights packed in fewer bits; None where it says nothing: null and {} are absence."""
    text = config.get("text_config")
    inner = text.get("quantization_config") if isinstance(text, dict) else None
    return config.get("quantization_config") or inner or None


def check_weights(where: str, names: list[str]) -> None:
    """Refuses a list of files without safetensors that transformers would load. Raises RetortError."""
    if SINGLE in names or INDEX in names:
        return
    if any(name.endswith(".safetensors") for name in names):
        raise RetortError(
            f"'{where}' has .safetensors files, but neither {SINGLE} nor {INDEX}, which says what the parts are.",
            "Download the missing file, or save the model again with save_pretrained.",
        )
    if any(Path(name).match(pattern) for name in names for pattern in PICKLES):
        raise RetortError(
            f"'{where}' has its weights only as a pickle, which can run code when it is opened.",
            "Use a version with .safetensors files, or save it again with a current transformers where you trust it.",
        )
    raise RetortError(f"'{where}' holds no .safetensors file.", "Download the weights too, then try again.")


def check_code(where: str, config: dict[str, Any]) -> None:
    """Refuses a config that names Python code of its own. Raises RetortError."""
    if config.get("auto_map"):
        raise RetortError(
            f"'{where}' needs Python code that comes with the model, and Retort never runs such code.",
            "Use a model transformers knows by itself; where it does know this one, remove 'auto_map' from the JSON "
            "files of a local copy.",
        )


def _refuse_code(folder: Path, config: dict[str, Any]) -> None:
    check_code(str(folder), config)
    tokenizer = folder / "tokenizer_config.json"
    if tokenizer.is_file():
        check_code(str(folder), read_json(tokenizer))
    named = config.get("architectures")
    if named is not None and not (isinstance(named, list) and all(isinstance(n, str) for n in named)):
        raise RetortError(
            f"config.json in {folder} names no class of transformers as it should.", "Save or download the model again."
        )


def _refuse_other_weights(folder: Path, config: dict[str, Any], names: list[str]) -> None:
    """Refuses what makes transformers read weights that are not this folder's own safetensors files."""
    if config.get("transformers_weights") or "adapter_config.json" in names:
        raise RetortError(
            f"'{folder}' takes weights from elsewhere than model.safetensors: it holds an adapter, or its config names "
            "another file.",
            "Merge the adapter into its model with peft and save the result, then use that folder.",
        )
    if INDEX in names:
        shards(folder)


def shards(folder: Path) -> list[str]:
    """The files that the index of a model in parts names, in alphabetical order.

    Raises:
        RetortError: the index cannot be read, or names what is no safetensors file of this folder.
    """
    placed = read_json(folder / INDEX, _INDEX_BYTES).get("weight_map")
    found = set(placed.values()) if isinstance(placed, dict) and all(map(_is_shard, placed.values())) else set()
    if not found:
        raise RetortError(
            f"{INDEX} in {one_line(str(folder), 200)} names no safetensors files of this folder.",
            "Save or download the model again.",
        )
    return sorted(found)


def _is_shard(name: Any) -> bool:
    plain = isinstance(name, str) and name.endswith(".safetensors") and len(name.encode()) <= 255
    return plain and not set(name) & {"/", "\\", "\0"}


def refuse_outside_links(folder: Path, settings: Settings) -> None:
    """Refuses a folder with links to somewhere outside the roots, with pipes or devices, or with far too many files.

    Raises:
        RetortError: what is wrong with it.
    """
    left, waiting = _ENTRIES, [(folder, 0)]
    while waiting:  # a loop, as folders may be nested deeper than calls can be
        inside, depth = waiting.pop()
        for entry in os.scandir(inside):
            left -= 1
            if left < 0 or depth > _DEPTH:
                raise RetortError(
                    f"'{folder}' holds more than {_ENTRIES:,} files or {_DEPTH} levels of folders: no model does.",
                    "Move the model into a folder of its own.",
                )
            if entry.is_symlink():
                inside_roots(entry.path, settings)
            elif entry.is_dir():
                waiting.append((Path(entry.path), depth + 1))
            elif not entry.is_file():
                raise RetortError(
                    f"'{one_line(entry.name, 80)}' in '{folder}' is no ordinary file.", "Remove it, then try again."
                )
