"""`python -m core`, and `retort` where it is installed: the command line."""

import io
import sys

from core.commands.parser import main


def run() -> int:
    """The command `retort` of an installed Retort, and `python -m core`: the exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without Unicode gets question marks, not an error
        sys.stdout.reconfigure(errors="replace")
    return main()


if __name__ == "__main__":
    sys.exit(run())
