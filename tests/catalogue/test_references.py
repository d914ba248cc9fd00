"""References: what they mean, and the one-sentence refusals."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.fingerprint import folder_fingerprint
from core.catalogue.references import Reference, resolve


@pytest.fixture
def model(home: Settings, tiny_llama: Path) -> Path:
    """A copy of the tiny model under the home's models folder."""
    return Path(shutil.copytree(tiny_llama, home.roots[0] / "tiny"))


def test_parse_and_back() -> None:
    for text, expected in {
        "sample:smollm2-135m": Reference("sample", "smollm2-135m"),
        "path:/a b/c": Reference("path", "/a b/c"),
        "hub:org/name@refs/pr/1": Reference("hub", "org/name", "refs/pr/1"),
        "hub:gpt2": Reference("hub", "gpt2"),
        "run:20260101-1/abc": Reference("run", "20260101-1/abc"),
    }.items():
        assert Reference.parse(text) == expected and str(expected) == text
    assert Reference.parse("  run:abc ") == Reference("run", "abc")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gpt2",
        "hub:",
        "hub:a/b/c",
        "hub:../a",
        "hub:a/..",
        "run:../../etc",
        "run:a/b/c",
        "sample:../x",
        "s3:x",
        "path:",
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(RetortError, match="no model reference"):
        Reference.parse(text)


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    with contextlib.suppress(RetortError):
        assert Reference.parse(str(Reference.parse(text))) == Reference.parse(text)


def test_path_resolves_to_the_folder(model: Path, home: Settings) -> None:
    found = resolve(f"path:{model}", home, LOCAL)
    assert found.folder == model and found.fingerprint.startswith("folder:")
    link = home.roots[0] / "link"
    link.symlink_to(model)
    assert resolve(f"path:{link}", home, LOCAL).folder == model


def test_fingerprint_follows_the_bytes_not_the_place(model: Path, home: Settings) -> None:
    first = folder_fingerprint(model, home)
    twin = Path(shutil.copytree(model, home.roots[0] / "twin"))
    assert folder_fingerprint(twin, home) == first
    weights = twin / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert folder_fingerprint(twin, home) != first
    assert folder_fingerprint(model, home) == first
    (model / "tokenizer_config.json").write_text("{}")
    assert folder_fingerprint(model, home) != first


def test_fingerprint_survives_a_damaged_note(model: Path, home: Settings) -> None:
    first = folder_fingerprint(model, home)
    for note in (home.cache / "hashes").iterdir():
        note.write_text("not json")
    assert folder_fingerprint(model, home) == first


def _outside(model: Path, home: Settings) -> Path:
    return Path(shutil.move(model, home.home.parent / "elsewhere"))


def _link_outside(model: Path, home: Settings) -> Path:
    target = shutil.move(model, home.home.parent / "elsewhere")
    model.symlink_to(target)
    return model


def _weights_link_outside(model: Path, home: Settings) -> Path:
    target = shutil.move(model / "model.safetensors", home.home.parent / "weights")
    (model / "model.safetensors").symlink_to(target)
    return model


def _dots(model: Path, home: Settings) -> Path:
    _outside(model, home)
    return home.roots[0] / ".." / ".." / "elsewhere"


def _missing(model: Path, home: Settings) -> Path:
    return model / "nothing"


def _empty(model: Path, home: Settings) -> Path:
    (home.roots[0] / "empty").mkdir()
    return home.roots[0] / "empty"


def _no_config(model: Path, home: Settings) -> Path:
    (model / "config.json").unlink()
    return model


def _broken_config(model: Path, home: Settings) -> Path:
    (model / "config.json").write_text('{"model_type": ')
    return model


def _deep_config(model: Path, home: Settings) -> Path:
    (model / "config.json").write_text("[" * 100_000)
    return model


def _set(name: str, key: str, value: object) -> Callable[[Path, Settings], Path]:
    def change(model: Path, home: Settings) -> Path:
        config = json.loads((model / name).read_text())
        (model / name).write_text(json.dumps(config | {key: value}))
        return model

    return change


def _pickle(model: Path, home: Settings) -> Path:
    os.rename(model / "model.safetensors", model / "pytorch_model.bin")
    return model


def _no_weights(model: Path, home: Settings) -> Path:
    (model / "model.safetensors").unlink()
    return model


def _file(model: Path, home: Settings) -> Path:
    return model / "config.json"


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (_outside, "outside the folders"),
        (_link_outside, "outside the folders"),
        (_weights_link_outside, "outside the folders"),
        (_dots, "outside the folders"),
        (_missing, "does not exist"),
        (_empty, "is empty"),
        (_no_config, "no config.json"),
        (_broken_config, "config.json in .* cannot be read"),
        (_deep_config, "config.json in .* cannot be read"),
        (_set("config.json", "auto_map", {"AutoModel": "evil.Model"}), "never runs such code"),
        (_set("tokenizer_config.json", "auto_map", {"AutoTokenizer": ["evil.T", None]}), "never runs such code"),
        (_set("config.json", "quantization_config", {"quant_method": "gptq"}), "packed \\(gptq\\)"),
        (_pickle, "only as a pickle"),
        (_no_weights, "no .safetensors file"),
        (_file, "not a folder"),
    ],
)
def test_bad_folders_get_one_cause_and_one_remedy(
    model: Path, home: Settings, spoil: Callable[[Path, Settings], Path], cause: str
) -> None:
    where = spoil(model, home)
    with pytest.raises(RetortError, match=cause) as caught:
        resolve(f"path:{where}", home, LOCAL)
    for sentence in (caught.value.cause, caught.value.remedy):
        assert sentence.endswith(".") and "\n" not in sentence


def test_samples_must_be_fetched_and_be_models(home: Settings) -> None:
    with pytest.raises(RetortError, match="not been fetched") as caught:
        resolve("sample:smollm2-135m", home, LOCAL)
    assert "core fetch smollm2-135m" in caught.value.remedy
    with pytest.raises(RetortError, match="data, not a model"):
        resolve("sample:wiki", home, LOCAL)


def test_runs_lead_to_kept_candidates(tiny_llama: Path, home: Settings) -> None:
    with pytest.raises(RetortError, match="no candidate 'k1'"):
        resolve("run:k1", home, LOCAL)
    candidate = home.home / "candidates" / "k1"
    candidate.mkdir(parents=True)
    (candidate / "result.json").write_text('{"model": "sample:smollm2-135m"}')
    with pytest.raises(RetortError, match="model was not kept"):
        resolve("run:k1", home, LOCAL)
    shutil.copytree(tiny_llama, candidate / "model")
    for text in ("run:k1", "run:some-run/k1"):
        found = resolve(text, home, LOCAL)
        assert found.folder == candidate / "model" and found.fingerprint == folder_fingerprint(tiny_llama, home)
        assert found.provenance["source"] == "candidate k1, made from sample:smollm2-135m"


@pytest.mark.sample
def test_the_sample_resolves_with_its_provenance(sample_home: Settings) -> None:
    found = resolve("sample:smollm2-135m", sample_home, LOCAL)
    assert found.provenance["licence"] == "Apache-2.0" and "Q4_1" in found.provenance["note"]
    assert found.fingerprint.startswith("folder:")
