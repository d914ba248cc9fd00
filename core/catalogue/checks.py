"""Is this folder a model Retort may open? Safetensors only, no code of its own, inside the allowed roots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.errors import RetortError
from core.settings import Settings

PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_CONFIG_BYTES = 4_000_000


def inside_roots(path: str | Path, settings: Settings) -> Path:
    """The real path (symlinks resolved). Raises RetortError where it does not exist or lies outside the roots."""
    try:
        real = Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise RetortError(f"'{path}' is no usable path.", "Give the full path of a file or a folder.") from error
    roots = [root.resolve() for root in settings.roots]
    if not any(real.is_relative_to(root) for root in roots):
        allowed = ", ".join(str(root) for root in roots) or "none is set"
        raise RetortError(
            f"'{path}' is outside the folders Retort may read ({allowed}).",
            "Move it there, or add its folder to RETORT_ROOTS and restart.",
        )
    if not real.exists():
        raise RetortError(f"'{path}' does not exist.", "Check the spelling of the path.")
    return real


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of a model folder. Raises RetortError where it is not one."""
    try:
        if path.stat().st_size > _CONFIG_BYTES:
            raise ValueError("too large")
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise RetortError(
            f"{path.name} in {path.parent} cannot be read.", "Save or download the model again."
        ) from error
    return found


def check_model_folder(folder: Path) -> dict[str, Any]:
    """Refuses what Retort never opens; returns the parsed config.

    Raises:
        RetortError: no folder, empty, no config, remote code, pickles only, no weights, packed weights.
    """
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
    check_weights(str(folder), [p.name for p in folder.iterdir() if p.is_file()])
    if "quantization_config" in config:
        kind = config["quantization_config"]
        name = kind.get("quant_method", "quantised") if isinstance(kind, dict) else "quantised"
        raise RetortError(
            f"The weights in '{folder}' are packed ({name}), so they can be neither pruned nor trained.",
            "Use the original model in bfloat16, float16 or float32.",
        )
    return config


def check_weights(where: str, names: list[str]) -> None:
    """Refuses a list of files without safetensors. Raises RetortError."""
    if any(name.endswith(".safetensors") for name in names):
        return
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


def refuse_outside_links(folder: Path, settings: Settings) -> None:
    """Refuses a folder whose files are links to somewhere outside the roots. Raises RetortError."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            inside_roots(path, settings)
