"""Rows out of files of every kind: CSV with any delimiter, JSON, JSON lines, Parquet, Arrow, and plain text."""

from __future__ import annotations

import csv
import io
import json
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from core.base.errors import RetortError
from core.base.settings import Settings
from core.base.text import one_line
from core.base.untrusted_files import reason
from core.catalogue.data_files import MOST_BYTES, PROSE, DataFiles, data_files, form_of
from core.data.delimiters import delimiter_of, said_delimiter
from core.data.rows import Row, Rows
from core.data.unpacked import decoded, opened, text_of
from core.registry.formatting import show_bytes

_DAMAGED = (ValueError, EOFError, csv.Error, lzma.LZMAError, zlib.error, RecursionError, TypeError, LookupError)
UNREADABLE = (OSError, NotImplementedError, *_DAMAGED)
"""What the readers of csv, json, pyarrow and packed files raise over a damaged file; pyarrow's own are among them."""
TEXT, FOLDER = "text", "folder"
"""Columns of plain texts: the text, and the folder it lies in where texts lie in several."""
_ROWS = 256  # read from a binary table at a time
_FIELD = 10_000_000
_SNIFFED = 1 << 16

csv.field_size_limit(_FIELD)  # documents are longer than Python's usual field


def open_data(name: str, settings: Settings) -> Rows:
    """The rows of `path:NAME`: a file, a folder or a pattern.

    Raises:
        RetortError: there is nothing Retort reads, or it is damaged; the file and the line are named.
    """
    files = data_files(name, settings)
    first = files.files[0]
    columns, classes, form = _heading(first, files)
    several = {path.parent for path in files.files}

    def read() -> Iterator[Row]:
        for path in files.files:
            yield from _rows(path, files, len(several) > 1)

    where = files.named(first) if len(files.files) == 1 else one_line(name, 200)
    return Rows.of(where, read, columns, classes=classes, form=form, files=len(files.files))


@contextmanager
def _reading(path: Path, files: DataFiles) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise RetortError(
            f"{files.named(path)} cannot be read ({reason(error)}).", "Check that it is whole and in UTF-8."
        ) from error


def _heading(path: Path, files: DataFiles) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]], str]:
    """Columns a header names, the names of classes that the file itself gives, and how it is read."""
    kind = form_of(path)[0]
    with _reading(path, files):
        if kind in ("csv", "tsv"):
            mark, header = _csv_head(path, kind)
            return tuple(header), {}, f"CSV with {said_delimiter(mark)} between columns"
        if kind in ("parquet", "arrow"):
            with _table(path) as (schema, _):
                return tuple(schema.names), _class_names(schema), kind.capitalize()
    return (), {}, {"json": "JSON", "jsonl": "JSON lines", "ndjson": "JSON lines"}.get(kind, "plain text")


def _rows(path: Path, files: DataFiles, by_folder: bool) -> Iterator[Row]:
    kind, name = form_of(path)[0], files.named(path)
    with _reading(path, files):
        if kind in ("csv", "tsv"):
            yield from _csv(path, kind, name)
        elif kind in ("jsonl", "ndjson"):
            yield from _json_lines(path, name)
        elif kind == "json":
            yield from _json(path, name)
        elif kind in ("parquet", "arrow"):
            yield from _binary(path, name)
        else:
            yield from _text(path, name, by_folder)


def _text(path: Path, name: str, by_folder: bool) -> Iterator[Row]:
    """Documents of prose are separated by empty lines; a line with only a space is text, as in WikiText's raw files.

    Code is one document, and so are texts that are sorted into folders."""
    text = text_of(path).replace("\r\n", "\n").replace("\r", "\n")
    whole = by_folder or form_of(path)[0] not in PROSE
    more = {FOLDER: path.parent.name} if by_folder else {}
    for number, part in enumerate([text] if whole else re.split(r"\n{2,}", text), 1):
        yield Row({TEXT: part, **more}, name if whole else f"text {number} of {name}")


def _csv(path: Path, kind: str, name: str) -> Iterator[Row]:
    mark, header = _csv_head(path, kind)
    with opened(path) as file:
        reader = csv.reader(_lines(file), delimiter=mark)
        next(reader, None)
        line = reader.line_num + 1
        for fields in reader:
            if fields:
                yield Row(dict(zip(header, fields, strict=False)), f"line {line} of {name}", len(fields) > len(header))
            line = reader.line_num + 1


def _csv_head(path: Path, kind: str) -> tuple[str, list[str]]:
    with opened(path) as file:
        return delimiter_of(_beginning(file.read(_SNIFFED)), kind)


def _lines(file: Iterable[bytes]) -> Iterator[str]:
    """Lines as text with their ends, as `csv` wants them. Raises ValueError that names the line."""
    for number, line in enumerate(file, 1):
        try:
            yield decoded(line) if number == 1 else line.decode("utf-8")
        except ValueError:
            raise ValueError(f"line {number} is not UTF-8 text") from None


def _json_lines(path: Path, name: str) -> Iterator[Row]:
    with opened(path) as file:
        for number, line in enumerate(_lines(file), 1):
            if line.strip():
                yield Row(_object(_parsed(line, f"line {number}"), f"line {number}"), f"line {number} of {name}")


def _json(path: Path, name: str) -> Iterator[Row]:
    """A list of objects, an object with one such list, columns with lists or numbered values; or lines after all."""
    text = text_of(path)
    try:
        found: object = json.loads(text)
    except json.JSONDecodeError as error:
        if "Extra data" not in error.msg:
            raise ValueError(f"line {error.lineno} is no JSON: {error.msg}") from error
        yield from _json_lines(path, name)
        return
    for number, row in enumerate(_listed(found), 1):
        yield Row(_object(row, f"entry {number}"), f"entry {number} of {name}")


def _listed(found: object) -> list[object]:
    if isinstance(found, dict):
        lists = [v for v in found.values() if isinstance(v, list) and v and all(isinstance(r, dict) for r in v)]
        if len(lists) == 1:
            return lists[0]
        if len(lists) > 1:
            raise ValueError(f"it holds several lists ({one_line(', '.join(found), 100)}): save the one meant")
        columns = {k: list(v.values()) if isinstance(v, dict) else v for k, v in found.items()}
        if columns and all(isinstance(v, list) for v in columns.values()):
            if len({len(v) for v in columns.values()}) > 1:
                raise ValueError("its columns are of different lengths")
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return [found]
    if not isinstance(found, list):
        raise ValueError("it holds no list of objects")
    return found


def _parsed(line: str, where: str) -> object:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is no JSON: {error.msg}") from error


def _object(row: object, where: str) -> dict[str, object]:
    if not isinstance(row, dict):
        raise ValueError(f"{where} is no JSON object")
    return row


def _binary(path: Path, name: str) -> Iterator[Row]:
    left, number = MOST_BYTES, 0
    with _table(path) as (_, batches):
        for batch in batches:
            left -= batch.get_total_buffer_size()
            for start in range(0, batch.num_rows, _ROWS):
                rows = batch.slice(start, _ROWS).to_pylist()
                left -= sum(len(v) for row in rows for v in row.values() if isinstance(v, str))
                if left < 0:
                    raise ValueError(f"its texts take more than {show_bytes(MOST_BYTES)}")
                for row in rows:
                    number += 1
                    yield Row(row, f"row {number} of {name}")


@contextmanager
def _table(path: Path) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Schema and batches of a Parquet file, an Arrow file or an Arrow stream."""
    kind, packed = form_of(path)
    if packed:
        with opened(path) as packed_file:
            source: io.BytesIO | Path = io.BytesIO(packed_file.read())
    else:
        source = path
    if not path.is_file():
        raise ValueError("it is no ordinary file")
    if kind == "parquet":
        with pq.ParquetFile(source) as file:
            yield file.schema_arrow, file.iter_batches(batch_size=_ROWS)
        return
    with pa.memory_map(str(path)) if isinstance(source, Path) else pa.PythonFile(source) as data:
        try:
            reader = pa.ipc.open_file(data)
        except pa.ArrowInvalid:
            data.seek(0)
            stream = pa.ipc.open_stream(data)
            yield stream.schema, iter(stream)
            return
        yield reader.schema, (reader.get_batch(i) for i in range(reader.num_record_batches))


def _class_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Names of classes as the library `datasets` notes them in a table. Of a note in another form nothing is taken."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        found = {n: f["names"] for n, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"}
        return {str(n): tuple(map(str, names)) for n, names in found.items() if isinstance(names, list)}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _beginning(raw: bytes) -> str:
    """Whole lines of the beginning of a file, for a look at them."""
    raw = raw if len(raw) < _SNIFFED else raw[: raw.rfind(b"\n") + 1] or raw
    return raw.decode("utf-8-sig", "replace")


def plain_text(rows: Rows) -> bool:
    """Whether the rows are texts without columns."""
    return rows.form == "plain text"
