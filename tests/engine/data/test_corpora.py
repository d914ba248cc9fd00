"""Texts from files, the sample and the hub: what comes back, and the sentence where nothing can."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.engine.data.corpora import load_texts
from core.recipe.recipe import Calibration, Corpus

ROWS = ["First text.", 'Second, with "quotes" and, commas', "  ", "Dritter Text: größer"]
KEPT = [ROWS[0], ROWS[1], ROWS[3]]


@pytest.fixture
def folder(home: Settings) -> Path:
    return home.roots[0]


def read(path: Path, home: Settings, column: str | None = None) -> list[str]:
    return load_texts(Corpus(data=f"path:{path}", column=column), home, LOCAL)


def test_txt_documents_are_separated_by_empty_lines(folder: Path, home: Settings) -> None:
    path = folder / "a.txt"
    path.write_bytes("\ufeffOne\nstill one\r\n\r\n\r\nTwo\n \nstill two\n".encode())
    assert read(path, home) == ["One\nstill one", "Two\n \nstill two\n"]


def test_csv_jsonl_and_parquet_give_the_same_documents(folder: Path, home: Settings) -> None:
    quoted = ['"' + text.replace('"', '""') + '"' for text in ROWS]
    (folder / "a.csv").write_text("id,text\n" + "".join(f"{i},{t}\n" for i, t in enumerate(quoted)))
    (folder / "a.jsonl").write_text("".join(json.dumps({"id": 1, "text": t}) + "\n" for t in ROWS) + "\n")
    pq.write_table(pa.table({"id": [1, 2, 3, 4], "text": ROWS}), folder / "a.parquet")
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        assert read(folder / name, home) == KEPT, name


def test_a_column_can_be_named(folder: Path, home: Settings) -> None:
    (folder / "a.csv").write_text("title,body\nx,first\ny,second\n")
    (folder / "one.csv").write_text("anything\nfirst\n")
    assert read(folder / "a.csv", home, "body") == ["first", "second"]
    assert read(folder / "one.csv", home) == ["first"]
    assert read(folder / "a.csv", home) == ["first", "second"], "of the two only 'body' is a usual name"
    (folder / "b.csv").write_text("title,remark\nx y,first one\n")
    with pytest.raises(RetortError, match=r"b.csv has no column that could be the text \(it has: title, remark\)"):
        read(folder / "b.csv", home)
    with pytest.raises(RetortError, match="no column 'nope'"):
        read(folder / "a.csv", home, "nope")


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("a.txt", b"", "holds no text"),
        ("a.txt", b"\n\n \n\n", "holds no text"),
        ("a.txt", b"\xff\xfe\x00bad", "cannot be read"),
        ("a.csv", b"", "no column"),
        ("a.csv", b"text\n", "holds no text"),
        ("a.jsonl", b'{"text": "a"}\n{broken\n', "cannot be read"),
        ("a.jsonl", b"[1, 2]\n", "line 1 is no JSON object"),
        ("a.jsonl", b'{"text": "a"}\n{"text": [1]}\n', "'text' in line 2 of a.jsonl is no text but a list"),
        ("a.parquet", b"PAR1 not really", "cannot be read"),
        ("a.exe", b"x", "no data Retort reads"),
    ],
)
def test_bad_files_are_one_sentence(folder: Path, home: Settings, name: str, content: bytes, cause: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(RetortError, match=cause) as caught:
        read(folder / name, home)
    assert "\n" not in caught.value.cause and caught.value.remedy.endswith(".")


def test_files_outside_the_roots_are_refused(home: Settings, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (home.roots[0] / "link.txt").symlink_to(tmp_path / "secret.txt")
    for path in (tmp_path / "secret.txt", home.roots[0] / "link.txt"):
        with pytest.raises(RetortError, match="outside the folders"):
            read(path, home)


def unchecked(data: str, split: str | None = None) -> Corpus:
    """A corpus that no recipe could hold: who reads it refuses it all the same."""
    return Corpus.model_construct(data=data, split=split, column=None, columns=None)


def test_sample_needs_fetching_and_a_known_part(home: Settings) -> None:
    with pytest.raises(RetortError, match="not been fetched"):
        load_texts(Calibration(), home, LOCAL)
    with pytest.raises(RetortError, match="no part called 'validation'"):
        load_texts(unchecked("sample:wiki", "validation"), home, LOCAL)
    with pytest.raises(RetortError, match="no sample text called 'reuters-r8'"):
        load_texts(unchecked("sample:reuters-r8", "train"), home, LOCAL)
    with pytest.raises(RetortError, match="no data reference"):
        load_texts(unchecked("wiki"), home, LOCAL)


def test_the_hub_without_a_network_is_one_sentence(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    with pytest.raises(RetortError, match="the hub could not be reached") as caught:
        load_texts(Corpus(data="hub:nobody/retort-no-such-set"), home, LOCAL)
    assert "sample:wiki" in caught.value.remedy and datasets.config.HF_HUB_OFFLINE is False


@pytest.mark.sample
def test_the_sample_text_is_split(sample_home: Settings) -> None:
    found = {p: load_texts(Corpus(split=p), sample_home, LOCAL) for p in ("calibration", "training", "evaluation")}
    assert {p: len(t) for p, t in found.items()} == {"calibration": 729, "training": 1448, "evaluation": 761}
