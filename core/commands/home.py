"""`home check` and `home rebuild`: is everything in the data folder as it was written; make its index again."""

from __future__ import annotations

import argparse

from core.base.roles import LOCAL
from core.base.settings import Settings
from core.commands.terminal import put, put_json, say
from core.jobs.home_check import check_home, rebuild_home


def home(chosen: argparse.Namespace, settings: Settings) -> int:
    """Checks (status 1 where something is wrong) or makes the index again.

    Raises:
        RetortError: the home cannot be read or written.
    """
    if chosen.action == "rebuild":
        said = rebuild_home(settings, LOCAL)
        if chosen.json:
            put_json({"home": str(settings.home), "done": said})
        else:
            put(said)
        return 0
    problems = check_home(settings)
    if chosen.json:
        put_json({"home": str(settings.home), "problems": [p._asdict() for p in problems]})
        return 1 if problems else 0
    for problem in problems:
        put(f"{problem.where}: {problem.cause} {problem.remedy}")
    say(f"{len(problems)} problem{'' if len(problems) == 1 else 's'} in {settings.home}.")
    return 1 if problems else 0


def register(one: argparse.ArgumentParser) -> None:
    """The options of `home`."""
    text = "check: compare everything with what was written; rebuild: make the index again from the folders"
    one.add_argument("action", choices=["check", "rebuild"], help=text)
