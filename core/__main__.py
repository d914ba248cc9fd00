"""`python -m core`: the command line."""

import io
import sys

from core.commands.parser import main

if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without Unicode gets question marks, not an error
        sys.stdout.reconfigure(errors="replace")
    sys.exit(main())
