"""Every reader of what others made, over damaged and hostile input: a value or a RetortError, in bounded time.

`RETORT_FUZZ_EXAMPLES=20000 python -m pytest tests/security/test_fuzz.py` looks for much longer.
"""

from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import io
import json
import lzma
import math
import os
import random
import resource
import shutil
import struct
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from core.analysis import sensitivity
from core.analysis.doctor import diagnose, export_options
from core.analysis.estimate import probe_path, read_probe
from core.base.errors import RetortError
from core.base.json_io import dump
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.base.text import is_whole, one_line
from core.catalogue import prompt_files
from core.catalogue.anatomy import Anatomy, anatomy
from core.catalogue.exportable import describe
from core.catalogue.manifests import MANIFEST
from core.catalogue.references import Reference, resolve
from core.catalogue.safetensors_header import read_header, read_headers
from core.catalogue.samples import is_fetched
from core.catalogue.vocabulary import vocabulary_kind
from core.catalogue.wiki import read_part
from core.data.questions import questions_of
from core.data.tables import open_data
from core.engine.data.classification import load_labelled
from core.engine.data.corpora import load_texts
from core.figures.theme import safe
from core.jobs.logs import tail
from core.recipe.files import dump_recipe, load_recipe
from core.recipe.own_tasks import OwnTask
from core.recipe.parts import LabelledSource
from core.recipe.recipe import Corpus, Recipe
from core.recipe.results import Result
from core.registry.samples import SAMPLES
from core.report.brand import brand
from core.report.csv import to_csv
from core.report.html import to_html
from core.report.json import to_json
from core.report.model import build
from core.report.pdf import to_pdf
from core.report.pptx import to_pptx
from core.store import Store
from core.store.labels import clean_notes, clean_tags
from pages.frame.text import flat, md
from tests.pages.study import finished_study
from tests.security.hostile import RAW, damaged, fuzz, fuzz_slowly, in_time, names, said_plainly, spoiled

GROWTH = 1_500_000_000
"""Bytes this process may grow by over all examples of this file."""


@pytest.fixture(scope="module", autouse=True)
def bounded_memory() -> Iterator[None]:
    """Fails where some example took very much memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GROWTH


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home for the whole file: each example overwrites what the one before wrote."""
    base = tmp_path_factory.mktemp("fuzz").resolve() / "home"
    (base / "models" / "model").mkdir(parents=True)
    return Settings(home=base, roots=(base / "models",))


def tried(action: Callable[[], Any]) -> Any:
    """What the action gives, or None where it is refused plainly. Anything else it raises fails the test."""
    with in_time():
        try:
            return action()
        except RetortError as error:
            said_plainly(error.cause, error.remedy)
            return None


def placed(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


# Model folders

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "vocab_size": 96,
    "max_position_embeddings": 256,
    "sliding_window": 16,
    "layer_types": ["full_attention", "sliding_attention"],
    "use_sliding_window": True,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default"},
    "hidden_act": "silu",
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "text_config": {"hidden_size": 32},
    "auto_map": {},
    "dtype": "float32",
}
TENSORS = {
    "model.embed_tokens.weight": {"dtype": "F32", "shape": [4, 2], "data_offsets": [0, 32]},
    "model.layers.0.self_attn.q_proj.weight": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [32, 40]},
    "model.layers.1.mlp.experts.0.w1.weight": {"dtype": "F16", "shape": [3], "data_offsets": [40, 46]},
    "model.norm.weight": {"dtype": "F64", "shape": [], "data_offsets": [46, 54]},
    "__metadata__": {"format": "pt"},
}
DATA = 54
INDEX = {
    "metadata": {"total_size": DATA},
    "weight_map": dict.fromkeys((n for n in TENSORS if "." in n), "a.safetensors"),
}
NOTE = {
    "id": "x",
    "pin": "p",
    "packages": ["a==1"],
    "made_from": None,
    "licence": "MIT",
    "note": "",
    "files": {"config.json": {"bytes": 3, "sha256": "00"}},
}
TOKENIZER = {
    "model": {"type": "BPE", "vocab": {"a": 0}, "byte_fallback": False},
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "x"}, "behavior": "Isolated"},
            {"type": "ByteLevel", "use_regex": False, "add_prefix_space": False},
        ],
    },
}
FAMILIES = ("llama", "gpt2", "gemma2", "mixtral", "bert", "phi3", "unknown-family")


def weights(header: str | bytes, data: int = DATA, claim: int | None = None) -> bytes:
    raw = header.encode("utf-8", "surrogatepass") if isinstance(header, str) else header
    return struct.pack("<Q", len(raw) if claim is None else claim) + raw + bytes(data)


def shown(found: Anatomy) -> None:
    """Everything a page, the terminal and the estimates do with an anatomy."""
    for text in (found.architecture, found.shape.family, found.licence, found.note, found.source, found.dtype):
        assert is_whole(text) and text.isprintable() and len(text) < 40_000
    assert Anatomy.model_validate_json(found.model_dump_json()) == found
    dump(found.model_dump(mode="json"))
    assert 0 <= found.active_parameters <= found.parameters == sum(found.by_part.values())
    assert found.kv_bytes(1 << 20) is None or found.kv_bytes(1 << 20) >= 0
    assert all(layer.total >= 0 for layer in found.layers)


def opened(folder: Path, home: Settings) -> None:
    """A model folder as the Model page, `doctor` and a run open it."""
    found = tried(lambda: anatomy(folder))
    resolved = tried(lambda: resolve(f"path:{folder}", home, None))
    if resolved is not None:
        assert all(is_whole(str(v)) for v in resolved.provenance.values())
    if found is not None:
        shown(found)
        assert [v.why for v in diagnose(found, 1 << 33, home) if not v.why.isprintable()] == []
    described = tried(lambda: describe(folder))
    if described is not None:
        assert all(o.why.isprintable() and len(o.why) < 1_000 for o in export_options(described))


def folder_of(world: Settings, **files: str | bytes) -> Path:
    """A model folder with these files changed (underscores stand for dots)."""
    folder = world.roots[0] / "model"
    shutil.rmtree(folder)
    whole = {"config_json": json.dumps(CONFIG), "model_safetensors": weights(json.dumps(TENSORS))}
    for name, content in (whole | files).items():
        placed(folder / name.replace("_json", ".json").replace("_safetensors", ".safetensors"), content)
    return folder


@fuzz
@given(text=spoiled(TENSORS), extra=st.sampled_from([0, 0, 0, -1, 1]))
def test_headers_with_spoiled_places(world: Settings, text: str, extra: int) -> None:
    path = placed(world.home / "m.safetensors", weights(text, DATA + extra))
    found = tried(lambda: read_header(path))
    assert found is None or all(t.bytes >= 0 and len(t.shape) <= 64 for t in found.values())


@fuzz
@given(content=damaged(weights(json.dumps(TENSORS))), claim=st.none() | st.integers(0, (1 << 64) - 1))
def test_headers_with_damaged_bytes(world: Settings, content: bytes, claim: int | None) -> None:
    content = content if claim is None else struct.pack("<Q", claim) + content[8:]
    tried(lambda: read_header(placed(world.home / "m.safetensors", content)))


@fuzz
@example(text=json.dumps(CONFIG | {"hidden_size": [32], "text_config": {"hidden_size": 32}}), family="llama")
@given(text=spoiled(CONFIG), family=st.sampled_from(FAMILIES))
def test_configs_with_spoiled_places(world: Settings, text: str, family: str) -> None:
    opened(folder_of(world, config_json=text.replace('"llama"', f'"{family}"')), world)


@fuzz
@given(content=damaged(json.dumps(CONFIG).encode()))
def test_configs_with_damaged_bytes(world: Settings, content: bytes) -> None:
    opened(folder_of(world, config_json=content), world)


@fuzz
@given(name=st.sampled_from(list(TENSORS)), to=names)
def test_tensors_with_any_names(world: Settings, name: str, to: str) -> None:
    renamed = {to if n == name else n: facts for n, facts in TENSORS.items()}
    opened(folder_of(world, model_safetensors=weights(json.dumps(renamed))), world)


@fuzz
@given(text=spoiled(INDEX), name=st.sampled_from(["a.safetensors", "b.safetensors"]))
def test_indices_with_spoiled_places(world: Settings, text: str, name: str) -> None:
    folder = folder_of(world)
    (folder / "model.safetensors").rename(folder / name)
    placed(folder / "model.safetensors.index.json", text)
    tried(lambda: read_headers(folder))
    opened(folder, world)


@fuzz
@given(
    note=spoiled(NOTE),
    tokenizer=spoiled(TOKENIZER),
    card=st.binary(max_size=60) | names.map(lambda n: f"---\nlicense: {n}\n---"),
)
def test_notes_cards_and_tokenizers(world: Settings, note: str, tokenizer: str, card: str | bytes) -> None:
    folder = folder_of(world, tokenizer_json=tokenizer, tokenizer_config_json=note)
    placed(folder / "README.md", card)
    placed(folder / MANIFEST, note)
    with in_time():
        assert vocabulary_kind(folder) in ("", "gpt-2", "smollm", "qwen2", "llama-bpe")
    opened(folder, world)
    wanted = SAMPLES["wiki"]
    placed(wanted.folder(world) / MANIFEST, note.replace('"p"', f'"{wanted.pin}"'))
    with in_time():
        is_fetched(wanted, world)


# References and paths

_kinds = st.sampled_from(
    ["path:", "hub:", "run:", "sample:", "path:{root}/", "run:x/", "hub:a/", "", "PATH:", "path: "]
)


@fuzz
@given(kind=_kinds, name=names, more=st.sampled_from(["", "@main", "/..", "/config.json", "@" + "x" * 300, ":"]))
def test_references(world: Settings, kind: str, name: str, more: str) -> None:
    text = kind.format(root=world.roots[0]) + name + more
    folder_of(world)
    reference = tried(lambda: Reference.parse(text))
    assert reference is None or Reference.parse(str(reference)) == reference
    if reference is None or reference.kind != "hub":  # whose cache is another's business
        found = tried(lambda: resolve(text, world, None))
        assert found is None or found.folder.is_relative_to(world.home)
    for suffix in ("", ".txt", ".csv") if not text.startswith("hub:") else ():
        data = text + suffix
        corpus = Corpus.model_construct(data=data, split=None, column=None, columns=None)
        tried(lambda corpus=corpus: load_texts(corpus, world, LOCAL))
        tried(lambda data=data: load_labelled(LabelledSource(data), world, LOCAL))
    tried(lambda: load_recipe(Path(name)))


@fuzz
@given(text=spoiled({"candidate": "k1"}), model=spoiled({"model": "sample:x", "key": "k1"}))
def test_what_runs_ended_with(world: Settings, text: str, model: str) -> None:
    candidate = world.home / "candidates" / "k1"
    if not (candidate / "model").is_dir():
        shutil.copytree(folder_of(world), candidate / "model")
    placed(candidate / "result.json", model)
    placed(world.run_folder("r1") / "result.json", text)
    found = tried(lambda: resolve("run:r1", world, LOCAL))
    assert found is None or (
        found.folder == candidate / "model"
        and one_line(found.provenance["made_from"], 300) == found.provenance["made_from"]
    )


# Recipes

EXAMPLES = [
    yaml.safe_load(p.read_text("utf-8")) for p in sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
]
_YAML = (
    "!!python/object/apply:os.system [true]",
    "&a [*a]",
    "*b",
    "<<: *c",
    "? [x]",
    "%YAML 1.1",
    "---",
    "...",
    "\t",
    "- " * 40,
    "{" * 40,
    "[" * 200,
    "'",
    '"',
    '"\\ud800"',
    '"\\0"',
    "|\n  x",
    ">-\n  x",
    "1e999",
    ".inf",
    ".nan",
    "0x1F",
    "1_000",
    "9" * 60,
    "9" * 5_000,
    "2026-01-01",
    "yes",
    "~",
    "\u2028",
    "\ufeff",
    "\x07",
    "# x",
    "x: y: z",
    "a: b\na: c",
    "\U0001f600" * 50,
)


def accepted(recipe: Recipe | None, world: Settings) -> None:
    """What happens to a recipe that was read: written, read back, queued and found again."""
    if recipe is None:
        return
    assert load_recipe(dump_recipe(recipe)) == recipe
    store = Store(world)
    run = store.runs.get(store.runs.add(recipe.kind, recipe.name, recipe.model, recipe.model_dump(mode="json"), LOCAL))
    assert run.parsed() == recipe and is_whole(run.name)


@fuzz
@given(st.sampled_from(EXAMPLES).flatmap(spoiled))
def test_recipes_with_spoiled_places(world: Settings, text: str) -> None:
    accepted(tried(lambda: load_recipe(text)), world)  # JSON is YAML, but for a few characters


@fuzz
@given(
    which=st.sampled_from(EXAMPLES),
    at=st.floats(0, 1),
    put=st.sampled_from(_YAML) | names,
    cut=st.integers(0, 30),
    line=st.booleans(),
)
def test_recipes_with_pieces_of_hostile_yaml(
    world: Settings, which: Any, at: float, put: str, cut: int, line: bool
) -> None:
    text = yaml.safe_dump(which)
    place = int(at * len(text))
    place = text.find("\n", place) + 1 if line else place
    text = text[:place] + put + ("\n" if line else "") + text[place + cut :]
    accepted(tried(lambda: load_recipe(text)), world)
    accepted(tried(lambda: load_recipe(placed(world.home / "recipe.yaml", text))), world)


@fuzz
@given(st.sampled_from(EXAMPLES).map(lambda e: yaml.safe_dump(e).encode()).flatmap(damaged))
def test_recipes_with_damaged_bytes(world: Settings, content: bytes) -> None:
    accepted(tried(lambda: load_recipe(placed(world.home / "recipe.yaml", content))), world)


# What the home holds

RESULT = Result(
    key="KEY",
    label="Wanda 50 %",
    model="sample:wiki",
    method="wanda",
    baseline_key="b",
    parent="p",
    saved=True,
    measurements=[
        {
            "metric": "loss",
            "value": 3.0,
            "unit": "nats",
            "low": 2.9,
            "high": 3.1,
            "samples": [3.0, 3.1],
            "settings": {"windows": 2, "interval": "bootstrap"},
        }
    ],
    round_trip={"max_logit_difference": 1e-6, "peak_memory_bytes": 3},
    facts={"layers": 2, "by": {"a": [1, 2]}},
    notes=["It was damped."],
    versions={"torch": "2"},
    seconds=3.5,
).model_dump(mode="json")


@pytest.fixture
def empty(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path.resolve())


def indexed(home: Settings, content: str | bytes) -> None:
    """One such file among whole ones: the index takes them and everything that lists candidates works."""
    store = Store(home)
    key = f"k{random.getrandbits(60):x}"
    content = content.encode() if isinstance(content, str) else content
    placed(home.home / "candidates" / key / "result.json", content.replace(b"KEY", key.encode()))
    with in_time():
        store.candidates.reindex()
        rows = [r for r in store.candidates.rows() if r.key == key]
        assert len(rows) == len(store.candidates.results(keys=[key]))
        for found in store.candidates.results(keys=[key]):
            assert found == store.candidates.get(key) or any(m.value != m.value for m in found.measurements)
            dump(found.model_dump(mode="json"))
    shutil.rmtree(home.home / "candidates" / key)


@fuzz
@given(text=spoiled(RESULT))
def test_results_with_spoiled_places(empty: Settings, text: str) -> None:
    indexed(empty, text)


@fuzz
@given(content=damaged(json.dumps(RESULT).encode()))
def test_results_with_damaged_bytes(empty: Settings, content: bytes) -> None:
    indexed(empty, content)


PROBE = {
    "dtype": "float32",
    "threads": 2,
    "forward_flops": 1e9,
    "decode_seconds_per_layer": 0.1,
    "rank_weights_per_second": 1e6,
    "write_bytes_per_second": 1e8,
}
MEASURED = sensitivity.Sensitivity(
    key="k",
    fingerprint="f",
    spec=sensitivity.SensitivitySpec(model="sample:x"),
    loss=3.0,
    cells=[sensitivity.Change(layer=0, part=None, sparsity=0.5, change=0.1, samples=[0.1], parameters=3)],
    removed=[],
    break_even=[],
    made=1.0,
).model_dump(mode="json")


@fuzz
@example(probe="[" * 100_000, measured="[" * 100_000, log=b"")
@given(probe=spoiled(PROBE), measured=spoiled(MEASURED), log=st.binary(max_size=200))
def test_other_files_of_a_home(world: Settings, probe: str, measured: str, log: bytes) -> None:
    placed(probe_path(world), probe)
    placed(sensitivity.path_of(world, "k"), measured)
    placed(sensitivity.working_path(world, "k", "cells"), measured)
    with in_time():
        size = anatomy(folder_of(world))
        if read_probe(world) is not None:
            diagnose(size, 1 << 33, world)
        sensitivity.find(world, "f")
        sensitivity.unfinished(world, "k")
        assert is_whole(tail(placed(world.home / "log.txt", log)))
    probe_path(world).unlink()


# Texts

ROWS = [{"text": "One document.", "label": "a"}, {"text": "Another one.", "label": "b"}, {"text": "x", "label": "a"}]
QUESTIONS = [
    {"question": "Which?", "options": ["a", "b"], "answer": "B"},
    {"question": "How many?", "choices": {"text": ["1", "2"], "label": ["A", "B"]}, "answer": 1},
    {"question": "What?", "answer": ["this", "that"]},
]
CSV = b'text,label\nOne document.,a\n"Another, one.",b\nx,a\n'


def read_all(home: Settings, name: str, content: str | bytes) -> None:
    path = placed(home.roots[0] / name, content)
    texts = tried(lambda: load_texts(Corpus(data=f"path:{path}"), home, LOCAL))
    assert texts is None or all(is_whole(t) and t.strip() for t in texts)
    found = tried(lambda: load_labelled(LabelledSource(f"path:{path}"), home, LOCAL))
    assert found is None or all(0 <= i < len(found.names) for i in found.labels)
    assert found is None or all(map(is_whole, [*found.texts, *found.names]))
    asked = tried(lambda: questions_of(open_data(str(path), home), OwnTask(name="asked", data=f"path:{path}")))
    for one in asked.rows if asked is not None else ():
        assert all(t.strip() and is_whole(t) for t in (one.text, *one.options, *one.answers))
        assert 0 <= one.gold < len(one.options) if asked.kind == "choice" else one.answers


@fuzz
@given(
    rows=st.lists(st.sampled_from(QUESTIONS).flatmap(spoiled), max_size=3), first=st.sampled_from([*QUESTIONS, *ROWS])
)
def test_questions(world: Settings, rows: list[str], first: Any) -> None:
    read_all(world, "q.jsonl", "\n".join([json.dumps(first), *rows]))


@fuzz
@given(rows=st.lists(st.sampled_from(ROWS).flatmap(spoiled), max_size=3), whole=st.sampled_from(ROWS))
def test_lines_of_json(world: Settings, rows: list[str], whole: Any) -> None:
    read_all(world, "a.jsonl", "\n".join([json.dumps(whole), *rows]))
    placed(world.home / "part" / "training.jsonl", "\n".join(rows))
    tried(lambda: read_part(world.home / "part", "training"))


@fuzz
@given(content=damaged(CSV), suffix=st.sampled_from(["csv", "tsv", "txt", "md", "jsonl", "parquet"]))
def test_tables_and_texts_with_damaged_bytes(world: Settings, content: bytes, suffix: str) -> None:
    read_all(world, f"a.{suffix}", content)


@fuzz
@given(rows=st.lists(st.tuples(names, names), max_size=4), head=st.tuples(names, names) | st.just(("text", "label")))
def test_tables_of_any_words(world: Settings, rows: list[tuple[str, str]], head: tuple[str, str]) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([head, *rows])
    read_all(world, "a.csv", out.getvalue())


@fuzz
@given(
    content=damaged(CSV)
    | st.binary(max_size=80)
    | st.lists(names).map(lambda n: "\n".join(n).encode(errors="replace")),
    suffix=st.sampled_from(["csv", "txt", "jsonl"]),
)
def test_lists_of_prompts(content: bytes, suffix: str) -> None:
    found = tried(lambda: prompt_files.read(f"a.{suffix}", content.replace(b"text", b"prompt")))
    assert found is None or found and all(is_whole(p) and 0 < len(p) <= prompt_files.LONGEST for p in found)
    found = tried(lambda: prompt_files.typed(content.decode(errors="surrogateescape")))
    assert found is None or found and all(map(is_whole, found))


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path.read_bytes()


@fuzz
@given(data=st.data())
def test_parquet_with_damaged_bytes(world: Settings, parquet: bytes, data: st.DataObject) -> None:
    read_all(world, "a.parquet", data.draw(damaged(parquet)))


_values = (
    st.none()
    | st.integers()
    | st.floats()
    | st.binary(max_size=9)
    | st.booleans()
    | st.text(max_size=9)
    | st.lists(st.text(max_size=3))
)


@fuzz
@given(columns=st.dictionaries(st.text(max_size=9) | st.just("text"), _values, min_size=1, max_size=3))
def test_parquet_of_any_columns(world: Settings, columns: dict[str, Any]) -> None:
    with contextlib.suppress(pa.ArrowException, OverflowError, UnicodeError):  # what pyarrow itself will not write
        pq.write_table(pa.table({k: [v] for k, v in columns.items()}), world.roots[0] / "b.parquet")
        read_all(world, "a.parquet", (world.roots[0] / "b.parquet").read_bytes())


@fuzz
@given(rows=st.lists(st.sampled_from(ROWS), max_size=3).flatmap(spoiled), whole=st.booleans())
def test_json_of_any_form(world: Settings, rows: str, whole: bool) -> None:
    read_all(world, "a.json", rows if whole else f'{{"data": {rows}, "version": 1}}')


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A table in every other form: Arrow, and compressed in the four ways."""
    folder, table = tmp_path_factory.mktemp("packed"), pa.Table.from_pylist(ROWS)
    with pa.ipc.new_file(folder / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    found = {"arrow": (folder / "a.arrow").read_bytes()}
    found |= {"csv.gz": gzip.compress(CSV), "csv.bz2": bz2.compress(CSV), "csv.xz": lzma.compress(CSV)}
    return found | {"csv.zst": pa.compress(CSV, "zstd", asbytes=True)}


@fuzz
@given(data=st.data(), name=st.sampled_from(["arrow", "csv.gz", "csv.bz2", "csv.xz", "csv.zst"]))
def test_packed_tables_with_damaged_bytes(
    world: Settings, packed: dict[str, bytes], data: st.DataObject, name: str
) -> None:
    read_all(world, f"a.{name}", data.draw(damaged(packed[name])))


# Words from users and models, on the way out

ALONE = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {
            name for name, value in attrs if name.startswith("on") or (value or "").startswith("javascript")
        }


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[Result], set[str]]:
    """A run, its results, and the elements its report has with harmless names."""
    home = Settings(home=tmp_path_factory.mktemp("study").resolve())
    store = Store(home)
    run = store.runs.get(finished_study(home))
    results = store.candidates.results(run_id=run.id)
    seen = _Tags()
    seen.feed(to_html(build(run, results, [r.key for r in results[1:3]])))
    return run, results, seen.tags


def numeric(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


@fuzz_slowly
@given(label=names, name=names, model=names, note=names, unit=names, headline=names, setting=names)
def test_reports_of_any_words(
    study: tuple[Any, list[Result], set[str]],
    label: str,
    name: str,
    model: str,
    note: str,
    unit: str,
    headline: str,
    setting: str,
) -> None:
    from dataclasses import replace

    run, results, tags = study
    figures = [
        m.model_copy(update={"unit": unit, "device": note, "settings": {setting: label}})
        for m in results[1].measurements
    ]
    update = {"label": label, "model": model, "notes": [note], "measurements": figures}
    changed = [results[0], results[1].model_copy(update=update), *results[2:]]
    report = tried(
        lambda: build(replace(run, name=name, model=model), changed, [r.key for r in results[1:3]], headline=headline)
    )
    if report is None:
        return
    with in_time():
        document = to_html(report)
        seen = _Tags()
        seen.feed(document)
        assert seen.tags <= tags and seen.attributes == set()
        document.encode("utf-8")
        assert json.loads(to_json(report))["candidates"][0]["label"] == label
        text = to_csv(report)
        text.encode("utf-8")
        for mark in (",", ";", "\t"):
            for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark):
                assert not [cell for cell in row if cell.lstrip(" ").startswith(ALONE) and not numeric(cell)]


@fuzz_slowly
@given(label=names, headline=names)
def test_slides_of_any_words(study: tuple[Any, list[Result], set[str]], label: str, headline: str) -> None:
    run, results, _ = study
    changed = [results[0], results[1].model_copy(update={"label": label, "notes": [headline]})]
    report = tried(lambda: build(run, changed, [results[1].key], headline=headline))
    if report is not None:
        with in_time():
            to_pptx(report)
            to_pdf(report)


@fuzz
@given(raw=st.binary(max_size=400), kind=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a"]))
def test_a_logo_of_any_bytes(raw: bytes, kind: bytes) -> None:
    found = tried(lambda: brand(logo=kind + raw + b"\0"))
    assert found is None or found.logo.startswith(b"\x89PNG")


@fuzz
@given(text=names, limit=st.integers(1, 400))
def test_words_shown(text: str, limit: int) -> None:
    with in_time():
        for line in (one_line(text, limit), flat(text, limit), md(text, limit).replace("\u2060", "")):
            assert line == "" or line.isprintable()
        assert "<" not in safe(text, limit) and len(one_line(text, limit)) <= limit
    tried(lambda: clean_tags([text, text]))
    tried(lambda: clean_notes(text))
    error = RetortError(text, text)
    assert is_whole(error.cause + error.remedy + str(error))


def test_the_raw_values_are_what_they_are_meant_to_be() -> None:
    """Most are JSON, a few are not: both kinds must be among them."""

    def parses(text: str) -> bool:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
        return True

    kinds = [parses(text) for text in RAW]
    assert kinds.count(True) > 30 and kinds.count(False) >= 2
    assert os.environ.get("RETORT_FUZZ_EXAMPLES", "100").isdecimal()
