"""Which files does `path:` mean as data? One file, those of a folder, or those that fit a pattern."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.base.errors import RetortError
from core.base.json_io import load
from core.base.settings import Settings
from core.base.text import is_whole, one_line
from core.base.untrusted_files import read_bounded, readable
from core.catalogue.checks import inside_roots
from core.registry.formatting import show_bytes

TABLES = ("csv", "tsv", "jsonl", "ndjson", "json", "parquet", "arrow")
PROSE = ("txt", "raw", "md", "markdown", "rst", "tex", "tokens")
CODE = (
    *("py", "pyi", "js", "mjs", "ts", "tsx", "jsx", "java", "c", "h", "cc", "cpp", "cxx", "hpp", "cs", "go", "rs"),
    *("rb", "php", "swift", "kt", "scala", "r", "jl", "lua", "pl", "sh", "bash", "sql", "html", "css", "xml", "yaml"),
    *("yml", "toml", "ini", "cfg", "hs", "ml", "ex", "erl", "clj", "dart", "f90", "m", "v", "vhd", "asm"),
)
PACKED = ("gz", "bz2", "xz", "zst")
KINDS = "text and code files, .csv, .tsv, .json, .jsonl, .parquet and .arrow, also as .gz, .bz2, .xz or .zst"
MOST_BYTES = 4_000_000_000
_MOST_FILES = 10_000
_DEPTH = 20
_BESIDE = re.compile(r"(readme|licen[cs]e|changelog|dataset_infos?|dataset_dict|state)\b.*", re.IGNORECASE)
"""What lies beside data and is none."""
_STATE = "state.json"
_SPLITS = re.compile(r"(?:^|[^a-z])(train|training|test|testing|valid|validation|val|dev|eval)(?:[^a-z]|$)")


@dataclass(frozen=True)
class DataFiles:
    """Files of one kind, in order of their names.

    Attributes:
        root: the folder that names are told from.
        note: what of a folder was not read; '' where all of it is.
    """

    root: Path
    files: tuple[Path, ...]

    def named(self, path: Path) -> str:
        """How a file is called in a sentence."""
        return one_line(str(path.relative_to(self.root)) if path.is_relative_to(self.root) else path.name, 120)


def form_of(path: Path) -> tuple[str, str]:
    """(ending, compression) of a file's name: ('csv', 'gz'); '' for what is not there."""
    parts = path.name.lower().split(".")
    packed = parts.pop() if len(parts) > 2 and parts[-1] in PACKED else ""
    return (parts[-1] if len(parts) > 1 else ""), packed


def is_table(path: Path) -> bool:
    """Whether the file has rows with columns."""
    return form_of(path)[0] in TABLES


def data_files(name: str, settings: Settings) -> DataFiles:
    """The files that `path:NAME` means.

    Raises:
        RetortError: nothing is there, it lies outside the roots, is of no kind Retort reads, or of several; or a folder
            holds the parts of a data set (train and test), of which one has to be named.
    """
    with readable(name):
        files = _found(name, settings)
        for path in files.files:
            if path.stat().st_size > MOST_BYTES:
                raise RetortError(f"{files.named(path)} is larger than {show_bytes(MOST_BYTES)}.", "Use a part of it.")
        return files


def _found(name: str, settings: Settings) -> DataFiles:
    if glob.has_magic(name) and is_whole(name) and "\0" not in name and not Path(name).expanduser().exists():
        return _matching(name, settings)
    path = inside_roots(name, settings)
    if path.is_dir():
        return _folder(path, settings)
    if not path.is_file() or not _known(path):
        raise RetortError(f"'{one_line(str(path), 200)}' is no data Retort reads.", f"Use {KINDS}.")
    return DataFiles(path.parent, (path,))


def _matching(pattern: str, settings: Settings) -> DataFiles:
    parts = Path(pattern).expanduser().parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = inside_roots(Path(*parts[:fixed]), settings)
    found: list[Path] = []
    for one in glob.iglob("/".join(parts[fixed:]), root_dir=root, recursive=True):
        path = inside_roots(root / one, settings)
        if path.is_file() and _known(path):
            found.append(path)
        if len(found) > _MOST_FILES:
            raise _too_many(pattern)
    if not found:
        raise RetortError(f"No file Retort reads fits '{one_line(pattern, 200)}'.", f"Use {KINDS}.")
    return _of_one_kind(DataFiles(root, tuple(sorted(set(found)))), pattern)


def _folder(folder: Path, settings: Settings) -> DataFiles:
    if (folder / "dataset_dict.json").is_file():
        parts = sorted(p.name for p in folder.iterdir() if (p / _STATE).is_file())
        raise RetortError(
            f"'{one_line(folder.name, 80)}' holds the parts {one_line(', '.join(parts), 200) or 'of a data set'}.",
            f"Name one of them: path:{one_line(str(folder), 200)}/{one_line(parts[0], 40) if parts else 'train'}",
        )
    if (folder / _STATE).is_file():
        return _saved_by_datasets(folder, settings)
    known = [p for p in _inside(folder, settings) if _known(p)]
    beside = [p for p in known if _BESIDE.fullmatch(p.name)]
    files = [p for p in known if p not in set(beside)] or beside
    if not files:
        raise RetortError(
            f"The folder '{one_line(str(folder), 200)}' holds no data Retort reads.", f"It reads {KINDS}."
        )
    parts = sorted({found[1] for p in files if is_table(p) and (found := _SPLITS.search(p.stem.lower()))})
    if len(parts) > 1:
        raise RetortError(
            f"The folder '{one_line(folder.name, 80)}' holds several parts of a data set ({', '.join(parts)}).",
            f"Name one file, or a pattern such as path:{one_line(str(folder), 200)}/{parts[0]}*",
        )
    return _of_one_kind(DataFiles(folder, tuple(files)), str(folder))


def _saved_by_datasets(folder: Path, settings: Settings) -> DataFiles:
    """The files that `datasets.save_to_disk` names in its note, in its order."""
    state = load(read_bounded(folder / _STATE, 4_000_000))
    entries = state.get("_data_files") if isinstance(state, dict) else None
    names = [e.get("filename") for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
    files = [inside_roots(folder / n, settings) for n in names if isinstance(n, str) and n.endswith(".arrow")]
    if not files or not all(f.is_file() for f in files):
        raise RetortError(
            f"'{one_line(str(folder), 200)}' is no whole data set: {_STATE} names no files that are there.",
            "Save it again with 'save_to_disk'.",
        )
    return DataFiles(folder, tuple(files))


def _inside(folder: Path, settings: Settings) -> Iterator[Path]:
    """Ordinary files at any depth, by name; hidden ones are left out. Raises RetortError beyond `_MOST_FILES`."""
    left, waiting = _MOST_FILES, [(folder, 0)]
    found: list[Path] = []
    while waiting:
        inside, depth = waiting.pop()
        for entry in inside.iterdir():
            left -= 1
            if left < 0 or depth > _DEPTH:
                raise _too_many(str(folder))
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                inside_roots(entry, settings)
                if entry.is_dir():
                    continue  # its files lie elsewhere; a circle would have no end
            if entry.is_dir():
                waiting.append((entry, depth + 1))
            elif entry.is_file():
                found.append(entry)
    yield from sorted(found)


def _of_one_kind(found: DataFiles, where: str) -> DataFiles:
    tables, texts = [p for p in found.files if is_table(p)], [p for p in found.files if not is_table(p)]
    if not tables or not texts:
        return found
    raise RetortError(
        f"'{one_line(where, 200)}' holds tables ({len(tables)}, such as {found.named(tables[0])}) and texts "
        f"({len(texts)}, such as {found.named(texts[0])}).",
        f"Say which are meant by a pattern, such as path:{one_line(str(found.root), 200)}/**/*{texts[0].suffix}",
    )


def _known(path: Path) -> bool:
    return form_of(path)[0] in (*TABLES, *PROSE, *CODE)


def _too_many(where: str) -> RetortError:
    return RetortError(
        f"'{one_line(where, 200)}' holds more than {_MOST_FILES:,} files, or folders nested {_DEPTH} deep.",
        "Use a part of them, or put the texts into one file.",
    )
