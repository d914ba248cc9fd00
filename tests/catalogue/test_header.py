"""Safetensors headers: read right, and no damaged or hostile file gets past, or raises anything else."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from core.base.errors import RetortError
from core.catalogue.anatomy import anatomy
from core.catalogue.safetensors_header import read_header, read_headers
from core.catalogue.weight_files import weight_files
from core.engine.prune.apply import tensor_files
from tests.layout.modules import ROOT


def write(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def one(shape: object = (2,), offsets: object = (0, 8), dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_reads_what_the_library_writes(tmp_path: Path) -> None:
    tensors = {
        "a": torch.zeros(3, 4, dtype=torch.bfloat16),
        "b": torch.zeros(5, dtype=torch.int64),
        "c": torch.zeros((), dtype=torch.float32),
        "empty": torch.zeros(0, 7, dtype=torch.float16),
    }
    save_file(tensors, tmp_path / "m.safetensors", metadata={"format": "pt"})
    found = read_header(tmp_path / "m.safetensors")
    assert {k: (f.shape, f.dtype, f.count, f.bytes) for k, f in found.items()} == {
        "a": ((3, 4), "BF16", 12, 24),
        "b": ((5,), "I64", 5, 40),
        "c": ((), "F32", 1, 4),
        "empty": ((0, 7), "F16", 0, 0),
    }


def test_every_tensor_begins_where_its_bytes_lie(tmp_path: Path) -> None:
    """safetensors stores by the size of the type, then by name; the values tell whether the places are right."""
    tensors = {
        "b": torch.tensor([5, 6, 7], dtype=torch.int16),
        "none": torch.zeros(0, 3),
        "a": torch.tensor([[1.5, -2.0]]),
        "z": torch.tensor(9, dtype=torch.int64),
    }
    save_file(tensors, tmp_path / "m.safetensors")
    content = (tmp_path / "m.safetensors").read_bytes()
    found = {k: content[f.begin : f.begin + f.bytes] for k, f in read_header(tmp_path / "m.safetensors").items()}
    assert found == {
        "b": struct.pack("<3h", 5, 6, 7),
        "none": b"",
        "a": struct.pack("<2f", 1.5, -2.0),
        "z": struct.pack("<q", 9),
    }


def test_reading_headers_imports_no_torch(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3)}, tmp_path / "m.safetensors")
    code = (
        "import sys; from pathlib import Path; from core.catalogue.safetensors_header import read_header; "
        "print(list(read_header(Path(sys.argv[1]))), 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m.safetensors")]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert said.stdout.strip() == "['a'] False"


BAD = {
    "huge length": ({"a": one()}, bytes(8), 1 << 62),
    "length past the end": ({"a": one()}, b"", 10_000),
    "no JSON": (b"{nonsense", b"", None),
    "no UTF-8": (b"\xff\xfe{}", b"", None),
    "a list": ([1, 2], b"", None),
    "deep nesting": (b"[" * 50_000, b"", None),
    "a name twice": (f'{{"a":{json.dumps(one())},"a":{json.dumps(one())}}}'.encode(), bytes(8), None),
    "unknown type": ({"a": one(dtype="Q4")}, bytes(8), None),
    "type is a list": ({"a": one(dtype=["F32"])}, bytes(8), None),
    "negative size": ({"a": one(shape=(-2,))}, bytes(8), None),
    "fractional size": ({"a": one(shape=(2.0,))}, bytes(8), None),
    "boolean size": ({"a": one(shape=(True, 2))}, bytes(8), None),
    "size too large": ({"a": one(shape=(1 << 40, 1 << 40))}, bytes(8), None),
    "offsets reversed": ({"a": one(offsets=(8, 0))}, bytes(8), None),
    "offsets past the end": ({"a": one()}, bytes(4), None),
    "three offsets": ({"a": one(offsets=(0, 4, 8))}, bytes(8), None),
    "more dimensions than torch has": ({"a": one(shape=[1] * 65 + [2])}, bytes(8), None),
    "a size of 64 bits beside none": ({"a": one(shape=(0, (1 << 64) - 1), offsets=(0, 0))}, b"", None),
    "overlap": ({"a": one(), "b": one(offsets=(4, 12))}, bytes(12), None),
    "same place": ({"a": one(), "b": one()}, bytes(8), None),
    "gap": ({"a": one(), "b": one(offsets=(12, 20))}, bytes(20), None),
    "bytes left over": ({"a": one()}, bytes(9), None),
    "no fields": ({"a": {}}, b"", None),
    "not an object": ({"a": 3}, b"", None),
}


@pytest.mark.parametrize(("header", "data", "length"), BAD.values(), ids=list(BAD))
def test_damaged_headers_are_refused(tmp_path: Path, header: object, data: bytes, length: int | None) -> None:
    with pytest.raises(RetortError, match="is damaged"):
        read_header(write(tmp_path / "m.safetensors", header, data, length))


@pytest.mark.parametrize("size", [0, 3, 8])
def test_short_files_are_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "m.safetensors").write_bytes(bytes(size))
    with pytest.raises(RetortError):
        read_header(tmp_path / "m.safetensors")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 400), byte=st.integers(0, 255), cut=st.integers(0, 60))
def test_no_flipped_byte_raises_anything_but_a_refusal(tmp_path: Path, place: int, byte: int, cut: int) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5)}, path)
    content = bytearray(path.read_bytes())
    content[min(place, len(content) - 1)] = byte
    path.write_bytes(content[: len(content) - cut])
    try:
        read_header(path)
    except RetortError as error:
        assert "\n" not in error.cause


def test_shards_are_those_the_index_names(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"b": torch.zeros(3)}, tmp_path / "model-00002-of-00002.safetensors")
    save_file({"stray": torch.zeros(9)}, tmp_path / "stray.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert sorted(read_headers(tmp_path)) == ["a", "b"]
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(RetortError, match="00002.safetensors is missing"):
        read_headers(tmp_path)


def test_a_second_copy_beside_the_weights_counts_for_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    """consolidated.safetensors, an adapter's file, an old part: transformers opens none of them."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((tiny_llama / name).read_bytes())
    before = anatomy(tmp_path)
    for name in ("consolidated.safetensors", "adapter_model.safetensors", "model-00001-of-00002.safetensors"):
        save_file({"model.norm.weight": torch.zeros(7), "extra": torch.zeros(9, 9)}, tmp_path / name)
    (tmp_path / "pytorch_model.bin").write_bytes(b"no weights")
    assert anatomy(tmp_path) == before
    assert before.disk_bytes == (tmp_path / "model.safetensors").stat().st_size
    assert weight_files(tmp_path) == [tmp_path / "model.safetensors"]
    assert set(tensor_files(tmp_path).values()) == {tmp_path / "model.safetensors"}


def test_parts_without_an_index_are_no_model(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "model-00001-of-00002.safetensors")
    with pytest.raises(RetortError, match=r"neither model\.safetensors nor model\.safetensors\.index\.json"):
        weight_files(tmp_path)
