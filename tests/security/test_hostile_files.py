"""Files made to harm whoever opens them: each ends in one plain sentence, or is read without harm, at once."""

from __future__ import annotations

import json
import logging
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from core.base.errors import RetortError
from core.base.json_io import load
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.base.text import one_line
from core.catalogue.anatomy import anatomy
from core.catalogue.checks import check_model_folder, inside_roots, read_json, refuse_outside_links
from core.catalogue.exportable import describe
from core.catalogue.parts import layer_of
from core.catalogue.references import Reference, resolve
from core.catalogue.safetensors_header import read_header, read_headers
from core.catalogue.samples import is_fetched
from core.catalogue.shape import read_shape
from core.catalogue.vocabulary import vocabulary_kind
from core.catalogue.wiki import read_part
from core.commands.parser import main
from core.data import tables
from core.engine.data.classification import load_labelled
from core.engine.data.corpora import load_texts
from core.figures.theme import safe
from core.jobs import runner
from core.recipe.check import RecipeError
from core.recipe.files import load_recipe
from core.recipe.parts import LabelledSource
from core.recipe.recipe import Corpus
from core.recipe.results import Result
from core.registry.samples import SAMPLES
from core.store import Store
from tests.security.hostile import in_time, said_plainly

LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2, "hidden_size": 8}


@pytest.fixture
def model(home: Settings) -> Path:
    """A small folder that is a model as far as its config and headers say."""
    folder = home.roots[0] / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA))
    save_file(
        {"model.layers.0.mlp.w": torch.zeros(5), "lm_head.weight": torch.zeros(2, 3)}, folder / "model.safetensors"
    )
    return folder


def change(folder: Path, **values: object) -> None:
    (folder / "config.json").write_text(json.dumps(LLAMA | values))


def header(path: Path, tensors: object, data: int = 0) -> Path:
    raw = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(data))
    return path


def refused(action: Callable[[], object]) -> str:
    """The cause with which it is refused, in time."""
    with in_time(), pytest.raises(RetortError) as caught:
        action()
    said_plainly(caught.value.cause, caught.value.remedy)
    return caught.value.cause


# A config that lies


@pytest.mark.parametrize("layers", [10**7, 10**12, 10**30, int("9" * 4_000), 1e300, float("inf")])
@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])
def test_an_absurd_number_of_layers_is_refused_and_never_counted_out(model: Path, layers: float, family: str) -> None:
    stated = {"model_type": family, "num_hidden_layers": layers, "sliding_window": 8}
    with in_time():
        shape = read_shape(LLAMA | stated)
    assert shape.layers is None and shape.windows == ()
    for config in (stated, {"num_hidden_layers": 2, "text_config": stated}):
        change(model, **config)
        assert "more layers than any model has" in refused(lambda: anatomy(model))


def test_sizes_that_are_no_whole_numbers_are_none() -> None:
    shape = read_shape(LLAMA | {"hidden_size": True, "vocab_size": 1 << 80, "num_attention_heads": 2.0, "n_embd": -4})
    assert (shape.hidden, shape.vocab, shape.heads, shape.head_dim) == (None, None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '"config"',
        "3",
        "null",
        "",
        "\ufeff{}",
        "{" * 2_000,
        "[" * 200_000,
        '{"a":' * 50_000,
        '{"n": ' + "9" * 5_000 + "}",
        '{"model_type": "\\ud800"}',
        '{"\\udfff": 1}',
        '{"a": "' + "x" * 5_000_000 + '"}',
    ],
)
def test_a_config_that_is_none_is_refused(model: Path, text: str) -> None:
    (model / "config.json").write_bytes(text.encode())
    assert "config.json in" in refused(lambda: check_model_folder(model))


def test_numbers_that_json_has_not_and_names_given_twice_are_read_as_transformers_reads_them(model: Path) -> None:
    (model / "config.json").write_text('{"model_type": "gpt2", "model_type": "llama", "a": NaN, "b": [-Infinity]}')
    assert anatomy(model).shape.family == "llama"


@pytest.mark.parametrize("named", [[3], "LlamaForCausalLM", {"a": 1}, [None]])
def test_architectures_that_are_no_names_are_refused(model: Path, named: object) -> None:
    change(model, architectures=named)
    assert "class" in refused(lambda: anatomy(model))


def test_names_from_a_config_are_shown_without_what_a_terminal_or_reader_obeys(model: Path) -> None:
    change(model, architectures=["\x1b[31mLlama\u202e\nForCausalLM" + "x" * 500], model_type="\u2066llama\x00")
    found = anatomy(model)
    for text in (found.architecture, found.shape.family):
        assert text.isprintable() and len(text) <= 80


@pytest.mark.parametrize("rope", [["yarn"], "yarn", 3, {"rope_type": ["\x1b"]}, {"type": None}, True])
def test_whether_it_can_be_exported_is_answered_for_any_config(model: Path, rope: object) -> None:
    change(model, rope_parameters=rope, hidden_act={"a": 1})
    from core.analysis.doctor import export_options

    assert all(o.why.isprintable() for o in export_options(describe(model)))


# Weights that are elsewhere


def index(model: Path, *names: object) -> None:
    (model / "model.safetensors").unlink(missing_ok=True)
    save_file({"a": torch.zeros(2)}, model / "a.safetensors")
    placed = {f"t{i}": name for i, name in enumerate(names)}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed, "metadata": {}}))


@pytest.mark.parametrize(
    "name",
    [
        "../outside.safetensors",
        "/tmp/outside.safetensors",
        "b/c.safetensors",
        "a.bin",
        "x" * 300 + ".safetensors",
        "\0.safetensors",
        3,
        None,
        ["a.safetensors"],
        "..\\a.safetensors",
        "\u00e9" * 130 + ".safetensors",
    ],
)
def test_an_index_names_files_of_its_folder_only(model: Path, name: object) -> None:
    """transformers joins the folder and the name, whatever the name is."""
    save_file({"t1": torch.zeros(2)}, model.parent / "outside.safetensors")
    index(model, "a.safetensors", name)
    assert "names no safetensors files of this folder" in refused(lambda: check_model_folder(model))
    assert "names no safetensors files of this folder" in refused(lambda: read_headers(model))


@pytest.mark.parametrize("text", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', "{" * 5_000])
def test_an_index_that_is_none_is_refused(model: Path, text: str) -> None:
    index(model)
    (model / "model.safetensors.index.json").write_text(text)
    refused(lambda: check_model_folder(model))


def test_a_single_file_wins_over_an_index_as_in_transformers(model: Path) -> None:
    single = (model / "model.safetensors").read_bytes()
    index(model, "a.safetensors")
    (model / "model.safetensors").write_bytes(single)
    assert sorted(read_headers(model)) == ["lm_head.weight", "model.layers.0.mlp.w"]


def test_an_adapter_and_weights_under_another_name_are_refused(model: Path) -> None:
    change(model, transformers_weights="adapter_model.bin")  # transformers opens this name though it is a pickle
    assert "from elsewhere" in refused(lambda: check_model_folder(model))
    change(model)
    (model / "adapter_config.json").write_text('{"base_model_name_or_path": "/elsewhere"}')
    assert "from elsewhere" in refused(lambda: check_model_folder(model))


# Headers


def one(shape: object, end: int = 0, dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": one([1] * 200_000, 4)},
        {"a": one([(1 << 62)] * 100_000)},
        {"a": one([1 << 63])},
        {"a": one([10**4000] * 60)},
        {"a": one([True])},
        {"a": one("11", 4)},
        {"a": one({"1": 1}, 4)},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [False, 4]}},
        {"a": {"dtype": {}, "shape": [1], "data_offsets": [0, 4]}},
        {"a" * 100_000: one([2])},
        {"a\n\x1b\u202e": one([2])},
    ],
    ids=lambda t: str(t)[:40],
)
def test_absurd_shapes_are_refused_at_once(tmp_path: Path, tensors: object) -> None:
    cause = refused(lambda: read_header(header(tmp_path / "m.safetensors", tensors, 4)))
    assert "is damaged" in cause and len(cause) < 400 and cause.isprintable()


def test_a_header_larger_than_any_model_needs_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    header(path, b" " * 13_000_000)
    assert "more than 12 MB" in refused(lambda: read_header(path))


def test_headers_have_a_limit_together(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.catalogue.safetensors_header._ALL_HEADERS_BYTES", 2_000_000)
    names = [f"{i}.safetensors" for i in range(6)]
    index(model, *names)
    for name in names:
        header(model / name, b"{}" + b" " * 390_000)
    assert "more than 2 MB" in refused(lambda: read_headers(model))


@pytest.mark.parametrize(
    "raw", [b'{"\\ud800": ' + json.dumps(one([1], 4)).encode() + b"}", b"[" * 100_000, b'{"a":' * 2_000]
)
def test_headers_with_half_characters_or_without_end_are_refused(tmp_path: Path, raw: bytes) -> None:
    assert "is damaged" in refused(lambda: read_header(header(tmp_path / "m.safetensors", raw, 4)))


@pytest.mark.parametrize("digits", ["9" * 5_000, "9" * 7, "\u0663" * 5_000, "\u00b2"])
def test_a_layer_number_of_thousands_of_digits_is_no_layer(model: Path, digits: str) -> None:
    name = f"model.layers.{digits}.mlp.w"
    assert layer_of(name) == (None, name)
    save_file({name: torch.zeros(3)}, model / "model.safetensors")
    assert anatomy(model).parameters == 3 and anatomy(model).layers == ()


# Notes and cards


@pytest.mark.parametrize(
    "manifest",
    [
        '{"packages": 3}',
        '{"packages": {"a": 1}}',
        '{"packages": [3]}',
        '{"files": []}',
        '{"files": {"a": 3}}',
        "[]",
        "[" * 100_000,
        '{"licence": ["x"]}',
        '{"note": "\\ud800"}',
        '{"pin": ' + "9" * 5_000 + "}",
        '{"files": {"\\u0000": {"bytes": 1}}}',
    ],
)
def test_a_damaged_manifest_is_none(model: Path, home: Settings, manifest: str) -> None:
    (model / "retort-sample.json").write_text(manifest)
    assert anatomy(model).licence == "" and resolve(f"path:{model}", home, LOCAL).provenance["licence"] == ""
    wanted = SAMPLES["wiki"]
    folder = wanted.folder(home)
    folder.mkdir(parents=True)
    (folder / "retort-sample.json").write_text(manifest.replace("{", f'{{"pin": "{wanted.pin}", ', 1))
    assert not is_fetched(wanted, home) or "packages" in manifest or "files" not in manifest


def test_a_model_card_is_read_to_its_first_lines_only(model: Path) -> None:
    with (model / "README.md").open("wb") as card:
        card.write(b"---\nlicense: mit\x1b[31m\xe2\x80\xae\xff\n---\n")
        card.truncate(40_000_000_000)  # no byte of it is on the disk
    with in_time():
        found = anatomy(model)
    assert found.licence.startswith("mit") and found.licence.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "3",
        '{"model": [], "pre_tokenizer": 3}',
        "[" * 100_000,
        '{"model": {"type": "BPE"}, "pre_tokenizer": null}',
        '{"model": {"type": "BPE"}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": []}}',
        '{"model": {"type": "BPE"}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": ["ByteLevel"]}]}}',
        '{"model": {"type": "BPE"}, "normalizer": 3, "pre_tokenizer": {"type": "ByteLevel"}}',
        '{"a": "\\ud800"}',
    ],
)
def test_a_hostile_tokenizer_is_of_no_known_kind(model: Path, text: str) -> None:
    (model / "tokenizer.json").write_text(text)
    with in_time():
        assert vocabulary_kind(model) == ""


# Names, links and things that are no files

LONG = ["x" * 300, "x" * 5_000, "a/" * 3_000, "\U0001f600" * 90]


@pytest.mark.parametrize("name", LONG)
def test_names_too_long_for_the_file_system_are_refused(home: Settings, name: str) -> None:
    refused(lambda: inside_roots(home.roots[0] / name, home))
    refused(lambda: resolve(f"path:{home.roots[0]}/{name}", home, LOCAL))
    for kind in ("run", "run:x/", "hub", "sample"):
        refused(lambda kind=kind: resolve(f"{kind}{'' if kind.endswith('/') else ':'}{name}", home, None))
    text = Corpus.model_construct(data=f"path:{home.roots[0]}/{name}.txt")
    refused(lambda: load_texts(text, home, LOCAL))
    refused(lambda: load_recipe(Path(name)))
    refused(lambda: read_json(home.roots[0] / name))


@pytest.mark.parametrize(
    "text", ["path:/a\0b", "path:\udcff", "run:\0", "hub:a\0/b", "sample:\ud800", "path:~nobody-of-that-name/x"]
)
def test_references_that_no_file_can_have_are_refused(home: Settings, text: str) -> None:
    cause = refused(lambda: resolve(text, home, None))
    assert cause.isprintable()


def test_a_reference_of_half_characters_never_reaches_the_store(
    home: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(home)
    run = store.runs.add("sweep", "A", "sample:wiki", {}, LOCAL)
    with pytest.raises(RetortError) as caught:
        Reference.parse("path:\udcff\ud800")
    store.runs.claim(run)
    error = RetortError("No '\udcff'.", "Rename '\ud800'.")
    store.runs.finish(run, "failed", cause=error.cause, remedy=error.remedy)
    assert store.runs.get(run).cause == "No '?'." and "?" not in caught.value.cause
    assert main(["doctor", "path:/\udcff", "--home", str(home.home)]) == 2
    assert "UTF-8" in capsys.readouterr().err


def test_file_names_that_are_no_text_do_not_stop_the_fingerprint(model: Path, home: Settings) -> None:
    before = resolve(f"path:{model}", home, LOCAL).fingerprint
    (model / os.fsdecode(b"\xff\xfe.json")).write_text("{}")
    assert resolve(f"path:{model}", home, LOCAL).fingerprint not in ("", before)


def test_links_in_a_circle_are_refused(model: Path, home: Settings) -> None:
    (home.roots[0] / "one").symlink_to(home.roots[0] / "two")
    (home.roots[0] / "two").symlink_to(home.roots[0] / "one")
    assert "no usable path" in refused(lambda: resolve(f"path:{home.roots[0] / 'one'}", home, LOCAL))
    (model / "loop").symlink_to(model / "loop")
    refused(lambda: resolve(f"path:{model}", home, LOCAL))
    (model / "loop").unlink()
    (model / "again").symlink_to(model)  # a folder inside itself: inside the roots, so harmless
    assert resolve(f"path:{model}", home, LOCAL).folder == model
    (model / "config.json").unlink()
    (model / "config.json").symlink_to(model / "config.json")
    refused(lambda: anatomy(model))


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer_config.json", "tokenizer.json", "README.md", "x"]
)
@pytest.mark.parametrize("kind", ["pipe", "folder", "dangling"])
def test_what_is_no_file_is_never_waited_for(model: Path, home: Settings, name: str, kind: str) -> None:
    """Opening a pipe waits until somebody writes to it: for ever."""
    (model / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(model / name)
    elif kind == "folder":
        (model / name).mkdir()
    else:
        (model / name).symlink_to(model / "nothing")
    with in_time():
        for action in (lambda: anatomy(model), lambda: resolve(f"path:{model}", home, LOCAL), lambda: describe(model)):
            try:
                action()
            except RetortError as error:
                said_plainly(error.cause, error.remedy)
        assert vocabulary_kind(model) == ""
    if kind == "pipe":
        assert refused(lambda: resolve(f"path:{model}", home, LOCAL))


@pytest.mark.parametrize("suffix", ["txt", "csv", "jsonl", "parquet"])
def test_a_pipe_is_no_corpus(home: Settings, suffix: str) -> None:
    path = home.roots[0] / f"a.{suffix}"
    os.mkfifo(path)
    refused(lambda: load_texts(Corpus(data=f"path:{path}"), home, LOCAL))
    refused(lambda: load_labelled(LabelledSource(f"path:{path}"), home, LOCAL))


def test_folders_nested_deeper_than_any_model_are_refused(model: Path, home: Settings) -> None:
    (model / "/".join("d" * 15)).mkdir(parents=True)
    refuse_outside_links(model, home)
    (model / "/".join("d" * 30)).mkdir(parents=True)
    assert "levels of folders" in refused(lambda: refuse_outside_links(model, home))


def test_a_folder_of_very_many_files_is_refused(model: Path, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.catalogue.checks._ENTRIES", 50)
    for i in range(60):
        (model / f"{i}.txt").touch()
    assert "more than 50 files" in refused(lambda: resolve(f"path:{model}", home, LOCAL))


@pytest.mark.parametrize("key", ["../../models/model", "..", "/etc", "", "a/b", "a\\u0000b", "\\ud800", "x" * 300])
def test_what_a_run_ended_with_is_a_candidate_of_this_home(model: Path, home: Settings, key: str) -> None:
    elsewhere = home.roots[0] / "model"
    (elsewhere / "result.json").write_text('{"model": "x"}')
    shutil.copytree(model, elsewhere / "model")
    folder = home.run_folder("r1")
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(f'{{"candidate": "{key}"}}')
    refused(lambda: resolve("run:r1", home, LOCAL))


# Results


def result(key: str) -> dict[str, object]:
    return Result(key=key, label="A", model="sample:wiki", method="dense").model_dump(mode="json")


FACTS = json.dumps(result("a") | {"facts": {"n": "@"}}).encode()
DAMAGED = {
    "empty": b"",
    "a list": b"[]",
    "no UTF-8": b"\xff\xfe",
    "another key": json.dumps(result("b")).encode(),
    "a lone surrogate": json.dumps(result("a") | {"label": "@"}).encode().replace(b"@", b"\\ud800"),
    "a number to read and not to write": FACTS.replace(b'"@"', b"9" * 5_000),
    "deep": FACTS.replace(b'"@"', b"[" * 100_000),
    "cut": json.dumps(result("a")).encode()[:-9],
    "a value too large": json.dumps(result("a") | {"seconds": "@"}).encode().replace(b'"@"', b"1" + b"0" * 400),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=list(DAMAGED))
def test_one_damaged_result_stops_neither_the_index_nor_the_runner(
    home: Settings, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    candidates = home.home / "candidates"
    for name, text in (("a", content), ("good", json.dumps(result("good")).encode()), ("not a key!", b"{}")):
        (candidates / name).mkdir(parents=True)
        (candidates / name / "result.json").write_bytes(text)
    (candidates / "pipe").mkdir()
    os.mkfifo(candidates / "pipe" / "result.json")
    (candidates / "gone").symlink_to(candidates / "nowhere")
    with in_time(), caplog.at_level(logging.WARNING, logger="retort"):
        assert runner.main(["--home", str(home.home), "--idle", "0"]) == 0
    store = Store(home)
    assert store.candidates.get("good") is not None
    assert [r.key for r in store.candidates.results() if r.key != "a"] == ["good"]
    if store.candidates.get("a") is None:
        assert "candidates/a/result.json" in caplog.text


def test_an_index_that_cannot_be_mended_does_not_stop_the_runner(
    home: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(self: object) -> int:
        raise RetortError("The disk that holds it is full.", "Free some space.")

    monkeypatch.setattr("core.store.candidates.Candidates.reindex", fails)
    assert runner.main(["--home", str(home.home), "--idle", "0"]) == 0
    assert "the disk" in caplog.text.lower()


def test_a_damaged_result_is_written_anew(home: Settings) -> None:
    store, found = Store(home), Result.model_validate(result("a"))
    store.candidates.add(found)
    path = store.candidates.folder("a") / "result.json"
    path.write_bytes(b"\xff\xfe")
    store.candidates.add(found)
    assert Result.model_validate_json(path.read_bytes()) == found


# Recipes

HEAD = "name: x\nmodel: sample:m\n"
MANY = [i / 999 for i in range(900)]
NESTED = "a0: &a0 1\n" + "".join(f"a{i}: &a{i} {'[' * 29}*a{i - 1}{']' * 29}\n" for i in range(1, 60))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + "a: [" + "1," * 120_000 + "1]", "more than 10,000 values"),
        (HEAD + NESTED, "nested"),
        (
            HEAD + f"sweep: {{grid: [{{method: wanda, sparsity: {MANY}, seeds: {list(range(900))}}}]}}",
            "10,000 candidates",
        ),
        (HEAD + "seed: 99999999999999999999\nsteps: [{step: evaluate}]", "not a number"),
        (HEAD + "seed: -99999999999999999999\nsteps: [{step: evaluate}]", "not a number"),
        (HEAD + "steps: [{step: prune, method: wanda, sparsity: 1e999}]", "not a number"),
        (HEAD + "steps: [{step: prune, method: wanda, sparsity: nan}]", "must be a number"),
        (HEAD + "steps: [{step: prune, method: block_influence, target: {megabytes: inf}}]", "must be a number"),
        (HEAD + 'steps: [{step: "\\ud800"}]', "cannot be read as YAML"),
        ('name: "\\ud800"\nmodel: sample:m\nsteps: [{step: evaluate}]', "cannot be read as YAML"),
        ('"\\udfff": 1', "cannot be read as YAML"),
        ("x" * 300 + ": 1", "too long"),
        (HEAD + "steps: [{step: prune, method: " + "x" * 200_000 + "}]", "unknown method"),
        ("name: x\ud800", "cannot be read"),
        (HEAD + "a: !" + "x" * 100_000 + " 1", "not allowed"),
    ],
    ids=lambda v: str(v)[:40] + "..." if len(str(v)) > 40 else None,
)
def test_recipes_that_would_take_memory_time_or_a_database_down(text: str, says: str) -> None:
    cause = refused(lambda: load_recipe(text))
    assert says in cause and len(cause) < 3_000


def test_of_very_many_problems_the_first_are_told() -> None:
    with in_time(), pytest.raises(RecipeError) as caught:
        load_recipe(HEAD + "".join(f"modl{i}: 1\n" for i in range(4_000)))
    assert len(caught.value.problems) == 50 and caught.value.total == 4_000 and "4,00" in caught.value.cause


# Texts


def corpus(home: Settings, name: str, content: bytes) -> Callable[[], object]:
    path = home.roots[0] / name
    path.write_bytes(content)
    return lambda: load_texts(Corpus(data=f"path:{path}"), home, LOCAL)


def test_half_characters_in_a_corpus_become_question_marks(home: Settings) -> None:
    assert corpus(home, "a.jsonl", b'{"text": "a\\ud800b"}\n{"text": "\\ud83d\\ude00"}')() == ["a?b", "\U0001f600"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("deep.jsonl", b'{"text":' + b"[" * 100_000),
        ("number.jsonl", b'{"text": ' + b"9" * 5_000 + b"}"),
        ("list.jsonl", b"[1]"),
        ("columns.jsonl", b'{"\\u001b' + b"x" * 100_000 + b'": 1, "b": 2}'),
        ("latin.txt", "caf\xe9".encode("latin-1")),
        ("field.csv", b"text\n" + b"x" * 10_000_001),
        ("columns.csv", b"a\x00,\x1b[31mb\r\n1,2"),
        ("none.csv", b""),
        ("not.parquet", b"PAR1" + bytes(100) + b"PAR1"),
        ("cut.parquet", b"PAR1"),
    ],
)
def test_damaged_corpora_are_refused(home: Settings, name: str, content: bytes) -> None:
    assert len(refused(corpus(home, name, content))) < 800


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mixed.jsonl", b'{"text": "a", "label": 1}\n3\n'),
        ("deep.jsonl", b'{"text": "a", "label": ' + b"[" * 100_000),
        ("list.jsonl", b"[]"),
        ("one.csv", b"text,label\na,1\n"),
        ("wide.csv", b"a\n1,2,3\n"),
    ],
)
def test_damaged_labelled_files_are_refused(home: Settings, name: str, content: bytes) -> None:
    (home.roots[0] / name).write_bytes(content)
    refused(lambda: load_labelled(LabelledSource(f"path:{home.roots[0] / name}"), home, LOCAL))


def test_labels_of_any_kind_are_classes(home: Settings) -> None:
    rows = [
        {"text": 3, "label": "9" * 5_000},
        {"text": None, "label": "\u00b2"},
        {"text": "\ud800", "label": -0.0},
        {"text": "x"},
    ]
    path = home.roots[0] / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    found = load_labelled(LabelledSource(f"path:{path}"), home, LOCAL)
    assert found.texts == ["3", "?"] and found.names == ["0", "9" * 5_000]
    path.write_text('{"text": "a", "label": [1]}')
    assert "no single label" in refused(lambda: load_labelled(LabelledSource(f"path:{path}"), home, LOCAL))


def test_a_small_parquet_file_that_unpacks_to_very_much_is_stopped(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home.roots[0] / "bomb.parquet"
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 4_000, pa.int32()), ["x" * 10_000])
    pq.write_table(pa.table({"text": text}), path)
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(tables, "MOST_BYTES", 10_000_000)  # of the 40 MB it holds
    assert "its texts take more than" in refused(lambda: load_texts(Corpus(data=f"path:{path}"), home, LOCAL))


def test_a_corpus_larger_than_any_is_not_read(home: Settings) -> None:
    path = home.roots[0] / "sparse.txt"
    with path.open("wb") as file:
        file.truncate(5_000_000_000)
    assert "larger than 4.0 GB" in refused(lambda: load_texts(Corpus(data=f"path:{path}"), home, LOCAL))


@pytest.mark.parametrize("content", [b"\xff", b"[]", b'{"a": 1}', b"[" * 100_000, b"{}\n" * 3])
def test_a_damaged_sample_text_says_how_to_get_it_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "training.jsonl").write_bytes(content)
    assert "is damaged" in refused(lambda: read_part(tmp_path, "training"))


# Words shown


INVISIBLE = (
    "\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2064\u2066\u2069"
)
INVISIBLE += "\ufeff\ud800"


@pytest.mark.parametrize("mark", INVISIBLE, ids=lambda m: f"U+{ord(m):04X}")
def test_charts_and_pages_drop_the_same_marks(mark: str) -> None:
    assert mark not in safe(f"a{mark}b") and mark not in one_line(f"a{mark}b", 9)


def test_json_from_outside_is_plain_or_refused() -> None:
    assert load(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
    for raw in (b'"\\ud800"', b"\xff", b"[" * 100_000, b"9" * 5_000, b"", b"\xef\xbb\xbf{}"):
        with pytest.raises(ValueError, match=r"."):
            load(raw)
