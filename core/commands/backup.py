"""`backup` and `restore`: the data folder in one file, and back."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.commands.terminal import put, put_json
from core.jobs.backup import back_up, restore
from core.registry.formatting import show_bytes


def backup(chosen: argparse.Namespace, settings: Settings) -> int:
    """Writes the archive.

    Raises:
        RetortError: nothing to save, or a file that cannot be read or written.
    """
    packed = back_up(chosen.file, settings, LOCAL)
    if chosen.json:
        put_json({"file": str(chosen.file), **packed._asdict()})
    else:
        put(f"{chosen.file} holds {packed.files} files of {settings.home}, {show_bytes(packed.bytes)}.")
    return 0


def restored(chosen: argparse.Namespace, settings: Settings) -> int:
    """Puts an archive into an empty data folder.

    Raises:
        RetortError: data that is there already, no archive of ours, or no room.
    """
    said = restore(chosen.file, settings, LOCAL)
    if chosen.json:
        put_json({"home": str(settings.home), "done": said})
    else:
        put(said)
    return 0


def register(one: argparse.ArgumentParser) -> None:
    """The options of both."""
    one.add_argument("file", type=Path, metavar="FILE.tar", help="the archive: .tar, or .tar.gz compressed")
