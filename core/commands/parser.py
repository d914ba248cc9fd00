"""The command line, over the same code as the pages: `python -m core COMMAND`.

Every command takes `--home DIR` and `--json` (one JSON document on standard output; progress goes to
standard error). Exit status: 0, 1 where the work failed, 2 for bad input.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from core import __version__
from core.base.errors import RetortError
from core.base.panics import panic_in_words
from core.base.private_files import keep_private
from core.base.settings import Settings
from core.base.text import is_whole
from core.commands import cluster, home, models, prune, report, runs, runs_about, samples, time_again, track
from core.commands.terminal import put_json, refuse, say

Command = Callable[[argparse.Namespace, Settings], int]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RetortError(f"{message[:1].upper()}{message[1:].rstrip('.')}.", f"See '{self.prog} --help'.")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. Returns the exit status; a refusal is one sentence of cause and one of remedy."""
    keep_private()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if not all(map(is_whole, words)):
            raise RetortError("A word of the command is not UTF-8 text.", "Rename that file, or give another name.")
        chosen = parser().parse_args(words)
        command: Command = chosen.command
        return command(chosen, Settings.load(chosen.home))
    except RetortError as error:
        return _refused(error, words, 2)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        say("Stopped.")
        return 1
    except BaseException as error:
        if (panic := panic_in_words(error)) is None:
            raise
        return _refused(panic, words, 1)


def _refused(error: RetortError, words: list[str], status: int) -> int:
    refuse(error)
    if "--json" in words:
        put_json({"error": {"cause": error.cause, "remedy": error.remedy}})
    return status


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    common = _Parser(add_help=False)
    common.add_argument("--home", metavar="DIR", help="data folder (default: RETORT_HOME, or your user data folder)")
    common.add_argument("--json", action="store_true", help="answer with one JSON document")
    name = "retort" if Path(sys.argv[0]).stem == "retort" else "python -m core"  # as it was called
    top = _Parser(prog=name, description="Prune and distil language models, and measure what changed.")
    top.add_argument("--version", action="version", version=f"Retort {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    def add(name: str, function: Command, text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text, parents=[common])
        one.set_defaults(command=function)
        return one

    one = add("doctor", models.doctor, "What can be done with a model on this machine, before anything is started.")
    one.add_argument("model", help="a model reference: sample:NAME, path:/folder, hub:org/name@revision or run:ID")
    for name, kind in (("sweep", "a sweep"), ("run", "a recipe (steps or a sweep)")):
        one = add(name, runs.start, f"Start {kind} from a YAML file and follow it to its end.")
        one.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
        one.add_argument("--detach", action="store_true", help="queue it, print its id and leave it to the runner")
        one.set_defaults(only="sweep" if name == "sweep" else None)
    one = add("runs", runs.listing, "List runs, newest first.")
    one.add_argument("--limit", type=_count, default=20, help="at most so many (default: 20)")
    one.add_argument("--state", choices=["queued", "running", "done", "failed", "cancelled"], action="append")
    one = add("show", runs.show, "Show what a run came to: figures, notes, exports, and what failed and why.")
    one.add_argument("run", metavar="RUN")
    one = add("resume", runs.resume, "Go on with a run that was cancelled or failed, and follow it to its end.")
    one.add_argument("run", metavar="RUN")
    one.add_argument("--detach", action="store_true", help="leave it to the runner")
    one = add("cancel", runs.cancel, "Cancel a run; what it finished is kept.")
    one.add_argument("run", metavar="RUN")
    one = add("tag", runs_about.tag, "Set the tags of a run; without tags, remove them.")
    one.add_argument("run", metavar="RUN")
    one.add_argument("tags", nargs="*", metavar="TAG")
    one = add("note", runs_about.note, "Set the note of a run; an empty text removes it.")
    one.add_argument("run", metavar="RUN")
    one.add_argument("text", metavar="TEXT")
    one = add("diff", runs_about.diff, "Say what sets two runs apart: recipe, versions and figures.")
    one.add_argument("run", metavar="RUN")
    one.add_argument("other", metavar="OTHER")
    one = add("lineage", runs_about.lineage, "Say what a run was built on, and what uses its models.")
    one.add_argument("run", metavar="RUN")
    one = add("reproduce", runs_about.reproduce, "Print what is needed to do a run again.")
    one.add_argument("run", metavar="RUN")
    one.add_argument("--format", choices=["yaml", "command"], default="yaml", help="default: yaml")
    one.add_argument("--notebook", type=Path, metavar="FILE.ipynb", help="write a Jupyter notebook that does it again")
    track.register(add("track", track.send, "Send a run that has ended to an experiment tracker, with its figures."))
    report.register(add("report", report.report, "Write a study as a file to hand on: web page, slides, CSV or JSON."))
    prune.register(add("prune", prune.prune, "Zero weights of a model that may be larger than memory, file by file."))
    time_again.register(add("time", time_again.time, "Time candidates of a run again beside the dense model."))
    cluster.register(add("cluster", cluster.cluster, "Say what a Ray cluster offers to runs with 'executor: ray'."))
    home.register(add("home", home.home, "Check the data folder, or make its index again from the folders in it."))
    one = add("fetch", samples.fetch, "Fetch samples: models and texts that need no hub.")
    one.add_argument("samples", nargs="+", metavar="SAMPLE", help=samples.names())
    one.add_argument("--accept-terms", action="store_true", help="accept the terms of use of samples that have some")
    return top


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 to 100000")
    return int(text)
