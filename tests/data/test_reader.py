"""One reader for everything people bring: what comes back, what is told, and the sentence where nothing can."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.base.errors import RetortError
from core.base.settings import Settings
from core.data.columns import Use, meaning_of
from core.data.labelled import LabelledRows, labelled_rows
from core.data.rows import Rows
from core.data.tables import open_data
from core.recipe.parts import Columns

ROWS = [{"text": "One, two", "label": "a"}, {"text": 'Say "no"', "label": "b"}]
CSV = 'text{0}label\n"One, two"{0}a\n"Say ""no"""{0}b\n'
WRITERS: dict[str, Callable[[Path], object]] = {
    "a.csv": lambda p: p.write_text(CSV.format(",")),
    "b.csv": lambda p: p.write_text("\ufeff" + CSV.format(";").replace("\n", "\r\n")),
    "c.csv": lambda p: p.write_text(CSV.format("|")),
    "d.tsv": lambda p: p.write_text(CSV.format("\t")),
    "d.jsonl": lambda p: p.write_text("\n".join(map(json.dumps, ROWS))),
    "e.json": lambda p: p.write_text(json.dumps(ROWS)),
    "f.json": lambda p: p.write_text(json.dumps({"version": 1, "data": ROWS})),
    "g.json": lambda p: p.write_text(json.dumps({"text": [r["text"] for r in ROWS], "label": ["a", "b"]})),
    "h.json": lambda p: p.write_text("\n".join(map(json.dumps, ROWS))),
    "i.parquet": lambda p: pq.write_table(pa.Table.from_pylist(ROWS), p),
    "j.arrow": lambda p: arrow(p, pa.Table.from_pylist(ROWS)),
    "k.csv.gz": lambda p: p.write_bytes(gzip.compress(CSV.format(",").encode())),
    "l.csv.bz2": lambda p: p.write_bytes(bz2.compress(CSV.format(";").encode())),
    "m.csv.xz": lambda p: p.write_bytes(lzma.compress(CSV.format(",").encode())),
    "n.csv.zst": lambda p: p.write_bytes(zstd(CSV.format(",").encode())),
}


def arrow(path: Path, table: pa.Table) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


def zstd(raw: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as file:
        file.write(raw)
    return bytes(out.getvalue().to_pybytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "home" / "models").mkdir(parents=True)
    return tmp_path / "home" / "models"


@pytest.fixture
def home(folder: Path) -> Settings:
    return Settings(home=folder.parent, roots=(folder,))


def placed(folder: Path, name: str, content: str) -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)
    return str(folder / name)


def values(rows: Rows) -> list[dict[str, Any]]:
    return [dict(row.values) for row in rows.read()]


def labelled(folder: Path, home: Settings, name: str, content: str, **columns: str) -> LabelledRows:
    return labelled_rows(open_data(placed(folder, name, content), home), Columns(**columns))


@pytest.mark.parametrize("name", WRITERS)
def test_every_form_gives_the_same_rows(folder: Path, home: Settings, name: str) -> None:
    WRITERS[name](folder / name)
    assert values(open_data(str(folder / name), home)) == ROWS


def test_a_folder_and_a_pattern_are_read_in_the_order_of_names(folder: Path, home: Settings) -> None:
    for name, text in (("b/2.jsonl", "two"), ("a/1.jsonl", "one"), ("c/3.csv", "three")):
        placed(folder, f"d/{name}", json.dumps({"text": text}) if name.endswith("l") else f"text\n{text}\n")
    placed(folder, "d/README.md", "About it")
    placed(folder, "d/.hidden.jsonl", "{")
    whole, part = open_data(str(folder / "d"), home), open_data(f"{folder}/d/**/*.jsonl", home)
    assert [v["text"] for v in values(whole)] == ["one", "two", "three"] and whole.files == 3
    assert [v["text"] for v in values(part)] == ["one", "two"]
    assert [r.place for r in part.read()] == ["line 1 of a/1.jsonl", "line 1 of b/2.jsonl"]


@pytest.mark.parametrize(
    ("files", "name", "cause"),
    [
        (["d/train.csv", "d/test.csv"], "d", r"several parts of a data set \(test, train\)"),
        (["d/a.csv", "d/b.py"], "d", r"holds tables \(1, such as a.csv\) and texts \(1, such as b.py\)"),
        (["d/dataset_dict.json", "d/train/state.json", "d/test/state.json"], "d", "holds the parts test, train"),
        (["d/x.bin"], "d", "holds no data Retort reads"),
        (["d/x.bin"], "d/*.csv", "No file Retort reads fits"),
        (["d/x.bin"], "d/x.bin", "is no data Retort reads"),
        (["d/x.bin"], "../*.csv", "outside the folders"),
    ],
)
def test_what_could_be_meant_otherwise_is_refused(
    folder: Path, home: Settings, files: list[str], name: str, cause: str
) -> None:
    for file in files:
        placed(folder, file, "text\nx\n")
    with pytest.raises(RetortError, match=cause):
        open_data(f"{folder}/{name}", home)


def test_links_out_of_the_roots_are_refused(folder: Path, home: Settings, tmp_path: Path) -> None:
    placed(tmp_path, "secret.txt", "secret")
    (folder / "d").mkdir()
    (folder / "d" / "a.txt").symlink_to(tmp_path / "secret.txt")
    for name in ("d", "d/*.txt", "d/a.txt"):
        with pytest.raises(RetortError, match="outside the folders"):
            open_data(f"{folder}/{name}", home)


def test_what_datasets_saved_is_read_with_the_names_of_its_classes(folder: Path, home: Settings) -> None:
    import datasets

    features = datasets.Features({"t": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    made = datasets.Dataset.from_dict({"t": ["a b", "c", "d"], "label": [1, 0, -1]}, features=features)
    made.save_to_disk(str(folder / "saved"))
    made.to_parquet(str(folder / "a.parquet"))
    for name in ("saved", "a.parquet"):
        found = labelled_rows(open_data(str(folder / name), home), Columns())
        assert found.texts == [("a b", "yes"), ("c", "no")] and found.order == ["no", "yes"]
        assert any(
            note.startswith("1 of 3 rows has no label and was left out; the first is row 3") for note in found.notes
        )


def test_texts_in_folders_have_their_folder_for_a_class(folder: Path, home: Settings) -> None:
    for name in ("pos/1.txt", "pos/2.txt", "neg/1.txt"):
        placed(folder, f"d/{name}", f"It is\n\n{name}")
    found = labelled_rows(open_data(str(folder / "d"), home), Columns())
    assert [label for _, label in found.texts] == ["neg", "pos", "pos"] and found.texts[0][0] == "It is\n\nneg/1.txt"


def test_a_packed_file_that_unpacks_to_very_much_is_stopped(
    folder: Path, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.data import unpacked

    monkeypatch.setattr(unpacked, "_LEAST", 100_000)
    (folder / "a.txt.gz").write_bytes(gzip.compress(b"a" * 10_000_000))
    with pytest.raises(RetortError, match=r"a.txt.gz cannot be read \(it unpacks to more than"):
        values(open_data(str(folder / "a.txt.gz"), home))


# Columns


def told(columns: list[str], use: Use, first: dict[str, Any] | None = None, **given: str) -> dict[str, str]:
    from core.data.rows import Row

    row = Row({c: (first or {}).get(c, f"some words of {c}") for c in columns}, "row 1")
    rows = Rows("a.csv", lambda: iter([row]), tuple(columns), (row,))
    return meaning_of(rows, Columns(**given), use).columns.model_dump(exclude_none=True)


def test_what_columns_mean() -> None:
    talk = {"messages": [{"role": "user"}], "conversations": [{"from": "human"}]}
    assert told(["question", "text", "intent", "label"], "labels") == {"text": "text", "label": "label"}
    assert told(["id", "Sentence", "Category"], "labels") == {"text": "Sentence", "label": "Category"}
    assert told(["premise", "hypothesis", "label"], "labels") == {
        "text": "premise",
        "text_pair": "hypothesis",
        "label": "label",
    }
    assert told(["a", "b"], "labels", text="b", label="a") == {"text": "b", "label": "a"}
    assert told(["prompt", "messages"], "text", talk) == {"messages": "messages"}
    assert told(["text", "messages"], "text", talk) == {"text": "text"}
    assert told(["conversations"], "chat", talk) == {"messages": "conversations"}
    assert told(["instruction", "output"], "text") == {"prompt": "instruction", "completion": "output"}
    assert told(["q", "answer"], "chat", prompt="q") == {"prompt": "q", "completion": "answer"}
    assert told(["anything"], "text") == {"text": "anything"}


@pytest.mark.parametrize(
    ("columns", "use", "cause"),
    [
        (["text", "intent", "category"], "labels", "several columns that could be the label, 'category' or 'intent'"),
        (["sentence", "review", "label"], "labels", "several columns that could be the text, 'sentence' or 'review'"),
        (["text", "other"], "labels", r"no column that could be the label \(it has: text, other\)"),
        (["prompt", "reply"], "chat", "no column that could be the completion"),
    ],
)
def test_what_could_be_several_is_asked_for(columns: list[str], use: Use, cause: str) -> None:
    with pytest.raises(RetortError, match=cause) as caught:
        told(columns, use)
    assert "columns: {" in caught.value.remedy


def test_a_column_that_is_not_there_is_named_with_the_delimiter(folder: Path, home: Settings) -> None:
    rows = open_data(placed(folder, "a.csv", "text;label\na;b\n"), home)
    with pytest.raises(RetortError) as caught:
        meaning_of(rows, Columns(text="body"), "text")
    assert caught.value.cause == (
        "a.csv has no column 'body' (it has: text, label). It was read as CSV with a semicolon between columns."
    )


def test_what_was_told_is_said(folder: Path, home: Settings) -> None:
    rows = open_data(placed(folder, "a.csv", "id;question;text;intent;label\n1;q;a b;i;l\n"), home)
    assert meaning_of(rows, Columns(), "labels").note == (
        "Of a.csv (CSV with a semicolon between columns) the columns were told by their names: text from 'text', label "
        "from 'label'. Not read: id, question, intent."
    )


# Never a wrong class


def test_rows_without_text_or_label_are_left_out_counted_and_said(folder: Path, home: Settings) -> None:
    lines = [{"text": "a", "label": 1}, {"text": "b", "label": None}, {"text": "c"}, {"text": " ", "label": 0}]
    lines += [{"text": "d", "label": 1.0}, {"text": "e", "label": "0.0"}, {"text": None, "label": 1}]
    found = labelled(folder, home, "a.jsonl", "\n".join(map(json.dumps, lines)))
    assert found.texts == [("a", "1"), ("d", "1"), ("e", "0")]
    assert found.notes[-2:] == [
        "2 of 7 rows have no label and were left out; the first is line 2 of a.jsonl.",
        "2 of 7 rows have no text and were left out; the first is line 4 of a.jsonl.",
    ]


def test_a_row_without_its_comma_is_no_class(folder: Path, home: Settings) -> None:
    found = labelled(folder, home, "a.csv", "text,label\none,a\ntwo b\nthree,b\n")
    assert found.texts == [("one", "a"), ("three", "b")]
    assert found.notes[-1] == "1 of 3 rows has no label and was left out; the first is line 3 of a.csv."


def test_texts_with_the_delimiter_outside_quotes_are_never_cut(folder: Path, home: Settings) -> None:
    torn = "text,label\n" + "one,a\ntwo,b\n" * 10 + "Well, then,a\n"
    found = labelled(folder, home, "a.csv", torn)
    assert len(found.texts) == 20 and {label for _, label in found.texts} == {"a", "b"}
    assert (
        found.notes[-1] == "1 of 21 rows has more fields than columns and was left out; the first is line 22 of a.csv."
    )
    with pytest.raises(RetortError, match="3 of 23 rows have more fields than columns") as caught:
        labelled(folder, home, "a.csv", torn + "Well, then,a\n" * 2)
    assert "quotes" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("a.csv", "text,label\nx,y\ncaf\udce9,z\n", "line 3 is not UTF-8 text"),
        ("a.csv", "a,a\n1,2\n", "two columns are called 'a'"),
        ("a.json", '[{"text": "a"},\n{"text" "b"}]', "line 2 is no JSON"),
        ("a.json", '{"a": [{"x": 1}], "b": [{"x": 1}]}', "it holds several lists"),
        ("a.json", "3", "it holds no list of objects"),
        ("a.jsonl", '{"text": "a"}\n{"text" "b"}\n', "line 2 is no JSON"),
    ],
)
def test_the_file_and_the_line_are_named(folder: Path, home: Settings, name: str, content: str, cause: str) -> None:
    (folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(RetortError, match=cause) as caught:
        values(open_data(str(folder / name), home))
    assert name in caught.value.cause


BANKING = Path(__file__).resolve().parents[3] / "shared" / "data" / "banking77"


@pytest.mark.skipif(not BANKING.is_dir(), reason="the banking77 texts are not on this machine")
def test_real_tables_of_questions_and_intents(tmp_path: Path) -> None:
    home = Settings(home=tmp_path, roots=(BANKING,))
    found = labelled_rows(open_data(str(BANKING / "test.csv"), home), Columns())
    assert len(found.texts) == 3_080 and len({label for _, label in found.texts}) == 77
    assert found.texts[0] == ("How do I locate my card?", "card_arrival")
    with pytest.raises(RetortError, match="several parts of a data set"):
        open_data(str(BANKING), home)
