"""Fetching, for real: pip downloads a real package file from a folder, with no network."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import zipfile
from pathlib import Path

import pytest

from core.base.errors import Cancelled, RetortError
from core.base.integrity import unseal
from core.base.progress import InMemoryReporter
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue import download as download_module
from core.catalogue import fetch as fetch_module
from core.catalogue.fetch import fetch_sample
from core.catalogue.manifests import MANIFEST, read_manifest
from core.catalogue.samples import is_fetched, refuse_unfetched, sample_damage
from core.commands.parser import main
from core.registry.sample_types import Member, Package, Sample
from core.registry.samples import SAMPLES
from tests.damage import HARMS

PAYLOAD = b"some weights " * 20_000
FORK = multiprocessing.get_context("fork")


def write_wheel(folder: Path, extra: dict[str, bytes] | None = None) -> Path:
    """A small but valid wheel with a data file."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "retort_test_sample-1.0-py3-none-any.whl"
    info = "retort_test_sample-1.0.dist-info"
    files = {
        "retort_test_sample/data.bin": PAYLOAD,
        "retort_test_sample/more/a.txt": b"a",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: retort-test-sample\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
        **(extra or {}),
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sample:
    """A sample in the catalogue whose package pip finds in a folder, and only there."""
    wheel = write_wheel(tmp_path / "index")
    package = Package(
        name="retort-test-sample",
        version="1.0",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        bytes=wheel.stat().st_size,
    )
    one = Sample(
        id="offered",
        label="Offered",
        kind="text",
        preparation="copy",
        packages=(package,),
        members=(
            Member(path="retort_test_sample/data.bin", name="data.bin", sha256=hashlib.sha256(PAYLOAD).hexdigest()),
            Member(path="retort_test_sample/more/", name="more"),
        ),
        licence="MIT",
        licence_url="https://example.org",
        disk_bytes=1000,
    )
    monkeypatch.setitem(SAMPLES, one.id, one)
    only_folder(monkeypatch, tmp_path / "index")
    return one


def only_folder(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))


def leftovers(home: Settings) -> list[str]:
    return [p.name for p in home.samples.glob(".*") if not p.name.endswith(".sums.json")]


def test_fetch_puts_only_the_named_files_in_place(offered: Sample, home: Settings) -> None:
    reporter = InMemoryReporter()
    folder = fetch_sample("offered", home, LOCAL, reporter)
    assert (folder / "data.bin").read_bytes() == PAYLOAD and (folder / "more" / "a.txt").read_bytes() == b"a"
    assert sorted(p.name for p in folder.iterdir()) == ["data.bin", "more", "retort-sample.json"]
    assert is_fetched(offered, home) and leftovers(home) == []
    manifest = read_manifest(folder)
    assert manifest and manifest.packages == ("retort-test-sample==1.0",) and manifest.licence == "MIT"
    assert any("Downloading" in m for m in reporter.messages) and reporter.messages[-1].endswith("is ready")


def test_a_second_fetch_changes_nothing(offered: Sample, home: Settings, tmp_path: Path) -> None:
    folder = fetch_sample("offered", home, LOCAL, InMemoryReporter())
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    (tmp_path / "index" / "retort_test_sample-1.0-py3-none-any.whl").unlink()  # it must not be needed again
    fetch_sample("offered", home, LOCAL, InMemoryReporter())
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


@pytest.mark.slow
def test_a_damaged_copy_is_fetched_again(offered: Sample, home: Settings) -> None:
    folder = fetch_sample("offered", home, LOCAL, InMemoryReporter())
    (folder / "data.bin").write_bytes(b"cut short")
    fetch_sample("offered", home, LOCAL, InMemoryReporter())
    assert (folder / "data.bin").read_bytes() == PAYLOAD and leftovers(home) == []


def _fetch_in_child(home: Settings) -> None:
    try:
        fetch_sample("offered", home, LOCAL, InMemoryReporter())
    except BaseException:
        os._exit(1)
    os._exit(0)


def test_two_processes_at_once_agree(offered: Sample, home: Settings) -> None:
    children = [FORK.Process(target=_fetch_in_child, args=(home,)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert is_fetched(offered, home) and leftovers(home) == []


class _DiesAt(InMemoryReporter):
    """Kills its own process, as a power cut would, when a message starts with `word`."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word

    def progress(self, done: float, total: float, message: str) -> None:
        if message.startswith(self.word):
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("word", ["Downloading", "Unpacking"])
def test_a_killed_fetch_leaves_nothing_that_looks_finished(offered: Sample, home: Settings, word: str) -> None:
    child = FORK.Process(target=fetch_sample, args=("offered", home, LOCAL, _DiesAt(word)))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert not is_fetched(offered, home) and not offered.folder(home).exists()
    fetch_sample("offered", home, LOCAL, InMemoryReporter())
    assert is_fetched(offered, home) and leftovers(home) == []


def test_a_kill_before_the_rename_leaves_nothing(
    offered: Sample, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(fetch_module, "put_in_place", die)
        child = FORK.Process(target=fetch_sample, args=("offered", home, LOCAL, InMemoryReporter()))
        child.start()
        child.join(60)
    assert child.exitcode == -signal.SIGKILL and not is_fetched(offered, home)
    fetch_sample("offered", home, LOCAL, InMemoryReporter())
    assert is_fetched(offered, home) and leftovers(home) == []


def test_cancel_stops_and_cleans_up(offered: Sample, home: Settings) -> None:
    class Impatient(InMemoryReporter):
        calls = 0

        def checkpoint(self) -> None:
            self.calls += 1
            if self.calls > 1:
                raise Cancelled

    with pytest.raises(Cancelled):
        fetch_sample("offered", home, LOCAL, Impatient())
    assert leftovers(home) == [] and not is_fetched(offered, home)


def test_other_bytes_are_refused(offered: Sample, home: Settings, tmp_path: Path) -> None:
    write_wheel(tmp_path / "index", {"retort_test_sample/extra.txt": b"not what was pinned"})
    with pytest.raises(RetortError, match="checksum differs"):
        fetch_sample("offered", home, LOCAL, InMemoryReporter())
    assert leftovers(home) == [] and not offered.folder(home).exists()


def test_a_wrong_member_is_refused(offered: Sample, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    member = offered.members[0].model_copy(update={"sha256": "0" * 64})
    monkeypatch.setitem(SAMPLES, "offered", offered.model_copy(update={"members": (member,)}))
    with pytest.raises(RetortError, match="data.bin of Offered is not the file"):
        fetch_sample("offered", home, LOCAL, InMemoryReporter())
    assert leftovers(home) == []


@pytest.mark.slow
def test_without_an_index_it_says_so_in_one_error(
    offered: Sample, home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens there
    with pytest.raises(RetortError) as caught:
        fetch_sample("offered", home, LOCAL, InMemoryReporter())
    assert "no package index" in caught.value.cause and "network" in caught.value.remedy
    assert leftovers(home) == []
    assert main(["fetch", "offered", "--home", str(home.home)]) == 1  # nothing is wrong with the command
    shown = capfd.readouterr().err
    assert "no package index" in shown and "Traceback" not in shown


def test_terms_must_be_accepted(offered: Sample, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLES, "offered", offered.model_copy(update={"terms": "Be kind."}))
    with pytest.raises(RetortError, match="Be kind"):
        fetch_sample("offered", home, LOCAL, InMemoryReporter())
    fetch_sample("offered", home, LOCAL, InMemoryReporter(), accept_terms=True)
    assert is_fetched("offered", home)


def test_samples_of_one_package_come_together(offered: Sample, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    sibling = offered.model_copy(update={"id": "sibling", "members": offered.members[1:]})
    monkeypatch.setitem(SAMPLES, "sibling", sibling)
    fetch_sample("offered", home, LOCAL, InMemoryReporter())
    assert is_fetched("sibling", home)


def test_a_full_disk_is_refused_before_anything_travels(
    offered: Sample, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SAMPLES, "offered", offered.model_copy(update={"disk_bytes": 10**18}))
    with pytest.raises(RetortError, match="needs .* of disk"):
        fetch_sample("offered", home, LOCAL, InMemoryReporter())
    assert leftovers(home) == []


def test_members_cannot_leave_the_folder(offered: Sample, home: Settings, tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "evil", {"retort_test_sample/more/../../../escaped.txt": b"x"})
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    written = download_module.extract(offered, [wheel], target)
    assert {p.resolve().is_relative_to(target.resolve()) for p in written} == {True}
    assert not list(tmp_path.rglob("escaped.txt"))


def test_command_line_fetches_and_shows_progress(
    offered: Sample, home: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "offered", "--home", str(home.home)]) == 0
    assert "Offered is ready" in capfd.readouterr().err
    assert is_fetched(offered, Settings(home=home.home))


@pytest.mark.parametrize("noted", [True, False], ids=["with sums", "from before there were sums"])
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", ["data.bin", "more/a.txt", MANIFEST])
def test_a_damaged_sample_is_named_and_fetched_again(
    home: Settings, offered: Sample, harm: str, name: str, noted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fetch_sample(offered.id, home, LOCAL, InMemoryReporter())
    before = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    if not noted:
        unseal(folder)
    HARMS[harm](folder / name)
    if harm == "flip" and name == MANIFEST and not noted:
        return  # a letter of its licence, which no sum covered then
    assert not is_fetched(offered, home)
    with pytest.raises(RetortError, match=r"which Retort fetched itself, is damaged: .*") as refusal:
        refuse_unfetched(offered, home)
    assert Path(name).name in refusal.value.cause and "Fetch it again with 'python -m core fetch offered'." in str(
        refusal.value
    )
    assert main(["fetch", "offered", "--home", str(home.home)]) == 0
    assert "Offered, which was fetched before, is damaged" in capsys.readouterr().err
    assert is_fetched(offered, home) and sample_damage(offered, home) is None
    assert {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_a_sample_that_was_never_fetched_is_not_called_damaged(home: Settings, offered: Sample) -> None:
    assert sample_damage(offered, home) is None
    with pytest.raises(RetortError, match="has not been fetched yet"):
        refuse_unfetched(offered, home)
