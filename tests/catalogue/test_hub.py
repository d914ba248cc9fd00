"""The hub with no network: the local cache, or one sentence. The cache is a real one, laid out on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.checks import check_weights
from core.catalogue.fingerprint import folder_fingerprint
from core.catalogue.hub import fetch_snapshot
from core.catalogue.references import Reference, resolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache and no way out."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


@pytest.fixture
def cached(offline: Path, tiny_llama: Path) -> Path:
    repository = offline / "models--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(tiny_llama, repository / "snapshots" / COMMIT))


def test_not_on_this_disk_is_one_sentence(home: Settings) -> None:
    with pytest.raises(RetortError, match="hub:org/none is not on this disk") as caught:
        resolve("hub:org/none", home, LOCAL)
    assert "sample" in caught.value.remedy


def test_a_branch_is_pinned_to_its_commit(cached: Path, home: Settings) -> None:
    for text in ("hub:org/tiny", "hub:org/tiny@main", f"hub:org/tiny@{COMMIT}"):
        found = resolve(text, home, LOCAL)
        assert found.reference == Reference("hub", "org/tiny", COMMIT)
        assert found.fingerprint == folder_fingerprint(cached, home) and found.folder.name == COMMIT
    assert "not asked for a newer version" in found.provenance["note"]


def test_half_a_download_is_not_a_model(cached: Path) -> None:
    (cached / "model.safetensors").unlink()
    with pytest.raises(RetortError, match="Only a part of hub:org/tiny"):
        fetch_snapshot("org/tiny", None)


def test_pickles_are_refused_from_the_file_list_alone() -> None:
    parts = ["model-00001-of-00002.safetensors", "model.safetensors.index.json"]
    check_weights("hub:a/b", ["config.json", *parts, "pytorch_model.bin"])
    with pytest.raises(RetortError, match="only as a pickle"):
        check_weights("hub:a/b", ["config.json", "pytorch_model-00001-of-00002.bin"])
