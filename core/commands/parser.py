"""The command line, over the same code as the pages: `python -m core COMMAND`.

Every command takes `--home DIR` and `--json` (one JSON document on standard output; progress goes to
standard error). Exit status: 0, 1 where the work failed, 2 for bad input, 3 where
what a recipe asserts is not kept.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, NoReturn

from core import __version__
from core.base.errors import RetortError
from core.base.panics import panic_in_words
from core.base.private_files import keep_private
from core.base.text import is_whole
from core.commands.terminal import put_json, refuse, say

if TYPE_CHECKING:
    from core.base.settings import Settings


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
        chosen = parser(words).parse_args(words)
        command: Callable[[argparse.Namespace, Settings], int] = resolve_name(chosen.command)
        from core.base.settings import Settings  # not for --help, which answers in a moment

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


def parser(words: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """All commands and their options.

    Args:
        words: of the command line: of a command they do not name, only its line in the help is there. None: all.
    """
    common = _Parser(add_help=False)
    common.add_argument("--home", metavar="DIR", help="data folder (default: RETORT_HOME, or your user data folder)")
    common.add_argument("--json", action="store_true", help="answer with one JSON document")
    name = "retort" if Path(sys.argv[0]).stem == "retort" else "python -m core"  # as it was called
    top = _Parser(prog=name, description="Prune and distil language models, and measure what changed.")
    top.add_argument("--version", action="version", version=f"Retort {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    def add(name: str, function: str, text: str, own: bool = False) -> argparse.ArgumentParser:
        """`function`: MODULE:FUNCTION under core.commands; `own`: that module has a `register` for the options."""
        one = commands.add_parser(name, help=text, description=text, parents=[common])
        one.set_defaults(command=f"core.commands.{function}")
        if own and (words is None or name in words):
            resolve_name(f"core.commands.{function.partition(':')[0]}:register")(one)
        return one

    one = add("doctor", "models:doctor", "What can be done with a model on this machine, before anything is started.")
    one.add_argument("model", help="a model reference: sample:NAME, path:/folder, hub:org/name@revision or run:ID")
    add("data", "data:look", "Look at texts or a table of your own: five rows, and what would be read.", own=True)
    for name, kind in (("sweep", "a sweep"), ("run", "a recipe (steps or a sweep)")):
        one = add(name, "runs:start", f"Start {kind} from a YAML file and follow it to its end.")
        one.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
        one.add_argument("--detach", action="store_true", help="queue it, print its id and leave it to the runner")
        one.set_defaults(only="sweep" if name == "sweep" else None)
    one = add("check", "check:check", "Look up everything a recipe needs, in all its steps, and run nothing.")
    one.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    add("schema", "schema:show", "Print the JSON Schema of recipes, for editors.", own=True)
    one = add("runs", "listing:listing", "List runs, newest first.")
    one.add_argument("--limit", type=_count, default=20, help="at most so many (default: 20)")
    one.add_argument("--state", choices=["queued", "running", "done", "failed", "cancelled"], action="append")
    one = add("show", "runs:show", "Show what a run came to: figures, notes, exports, and what failed and why.")
    one.add_argument("run", metavar="RUN")
    one = add("resume", "runs:resume", "Go on with a run that was cancelled or failed, and follow it to its end.")
    one.add_argument("run", metavar="RUN")
    one.add_argument("--detach", action="store_true", help="leave it to the runner")
    one = add("cancel", "runs:cancel", "Cancel a run; what it finished is kept.")
    one.add_argument("run", metavar="RUN")
    one = add("tag", "runs_about:tag", "Set the tags of a run; without tags, remove them.")
    one.add_argument("run", metavar="RUN")
    one.add_argument("tags", nargs="*", metavar="TAG")
    one = add("note", "runs_about:note", "Set the note of a run; an empty text removes it.")
    one.add_argument("run", metavar="RUN")
    one.add_argument("text", metavar="TEXT")
    one = add("diff", "runs_about:diff", "Say what sets two runs apart: recipe, versions and figures.")
    one.add_argument("run", metavar="RUN")
    one.add_argument("other", metavar="OTHER")
    one = add("lineage", "runs_about:lineage", "Say what a run was built on, and what uses its models.")
    one.add_argument("run", metavar="RUN")
    one = add("reproduce", "runs_about:reproduce", "Print what is needed to do a run again.")
    one.add_argument("run", metavar="RUN")
    one.add_argument("--format", choices=["yaml", "command"], default="yaml", help="default: yaml")
    one.add_argument("--notebook", type=Path, metavar="FILE.ipynb", help="write a Jupyter notebook that does it again")
    add("track", "track:send", "Send a run that has ended to an experiment tracker, with its figures.", own=True)
    add("report", "report:report", "Write a study as a file to hand on: web page, slides, CSV or JSON.", own=True)
    add("prune", "prune:prune", "Zero weights of a model that may be larger than memory, file by file.", own=True)
    add("time", "time_again:time", "Time candidates of a run again beside the dense model.", own=True)
    add("cluster", "cluster:cluster", "Say what a Ray cluster offers to runs with 'executor: ray'.", own=True)
    add("home", "home:home", "Check the data folder, or make its index again from the folders in it.", own=True)
    add("backup", "backup:backup", "Save the data folder in one archive, while Retort runs.", own=True)
    add("restore", "backup:restored", "Put such an archive into an empty data folder.", own=True)
    add("fetch", "samples:fetch", "Fetch samples: models and texts that need no hub.", own=True)
    return top


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 to 100000")
    return int(text)
