"""The catalogue is complete, pinned and honest about what is fetched."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from core.base.errors import RetortError
from core.base.settings import Settings
from core.catalogue.manifests import MANIFEST
from core.catalogue.samples import is_fetched
from core.registry.sample_types import Sample
from core.registry.samples import SAMPLES, sample


@pytest.mark.parametrize("one", SAMPLES.values(), ids=list(SAMPLES))
def test_every_sample_is_pinned_and_says_its_licence(one: Sample) -> None:
    assert one.licence and one.licence_url.startswith("https://")
    assert bool(one.packages) != bool(one.made_from), "either packages or another sample"
    for package in one.packages:
        assert re.fullmatch(r"[0-9a-f]{64}", package.sha256) and package.bytes > 0
    for member in one.members:
        assert member.sha256 == "" or re.fullmatch(r"[0-9a-f]{64}", member.sha256)
    if one.kind == "model":
        assert one.parameters
    if one.made_from:
        assert one.made_from in SAMPLES


def test_pins_differ_and_follow_what_they_pin() -> None:
    assert len({one.pin for one in SAMPLES.values()}) == len(SAMPLES)
    one = SAMPLES["wiki"]
    assert one.model_copy(update={"revision": 2}).pin != one.pin
    assert one.model_copy(update={"note": "other words"}).pin == one.pin


def test_only_gemma_asks_for_terms() -> None:
    assert [one.id for one in SAMPLES.values() if one.opt_in] == ["gemma3-270m"]


def test_fetched_means_manifest_pin_and_sizes(home: Settings) -> None:
    one = SAMPLES["wiki"]
    folder = one.folder(home)
    folder.mkdir(parents=True)
    assert not is_fetched(one, home)
    (folder / "a.jsonl").write_text("12345")
    manifest = {"pin": one.pin, "files": {"a.jsonl": {"bytes": 5}}}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert is_fetched(one, home) and is_fetched("wiki", home)
    (folder / "a.jsonl").write_text("1234")
    assert not is_fetched(one, home)
    (folder / "a.jsonl").write_text("12345")
    (folder / MANIFEST).write_text(json.dumps(manifest | {"pin": "older"}))
    assert not is_fetched(one, home)


def test_unknown_sample_is_one_sentence() -> None:
    with pytest.raises(RetortError, match="no sample called 'nope'"):
        sample("nope")


def test_the_catalogue_imports_no_heavy_library() -> None:
    code = (
        "import sys, pkgutil, importlib, core.catalogue as c\n"
        "for m in pkgutil.iter_modules(c.__path__): importlib.import_module('core.catalogue.' + m.name)\n"
        "heavy = {'torch', 'transformers', 'datasets', 'streamlit'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
