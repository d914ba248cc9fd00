"""On a real terminal tables and progress are drawn within its width; everywhere else they are plain lines."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from textwrap import dedent

import pytest

from tests.layout.modules import ROOT

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
NASTY = "[red]a[/red] \x1b[2J :smile:"


def on_a_terminal(code: str, columns: int = 80) -> str:
    """What a program writes to a terminal so wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    left_out = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"}
    env = {k: v for k, v in os.environ.items() if k not in left_out} | {"TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", dedent(code)], cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    raw = b""
    try:
        while more := os.read(ours, 65_536):
            raw += more
    except OSError:  # Linux says so where the last writer has gone
        pass
    os.close(ours)
    assert process.wait(60) == 0, raw.decode()
    return raw.decode()


@pytest.mark.parametrize("columns", [80, 200])
def test_a_table_is_as_wide_as_the_terminal_and_loses_nothing(columns: int) -> None:
    said = on_a_terminal(
        f"""
        from core.commands.terminal import put_table
        head = ["candidate", *(f"metric number {{i}}" for i in range(8))]
        figures = [f"{{i}}.05 (24.95 to 25.15), tie" for i in range(8)]
        put_table(head, [["Wanda 50 %", *figures], [{NASTY!r}] * 9])
        """,
        columns,
    )
    lines = [CODES.sub("", line).rstrip() for line in said.splitlines()]
    assert max(map(len, lines)) <= columns
    words = " ".join(lines).split()
    assert all(words.count(f"{i}.05") == 1 for i in range(8)), "each figure once"
    assert words.count("tie") == 8 and words.count("Wanda") == sum("candidate" in line for line in lines)
    assert "[red]a[/red]" in words and r"\x1b[2J" in words and ":smile:" in words, "texts are no markup"
    assert "\x1b[2J" not in said


def test_progress_is_one_line_with_sentences_above_it_and_leaves_the_cursor() -> None:
    said = on_a_terminal(
        f"""
        from core.commands.terminal import Line
        try:
            with Line() as line:
                line.progress(0, 0, "Waits for a run.")
                line.progress(1, 4, "Measuring " + "x" * 200)
                line.event("warning", "Something to know. {NASTY}")
                line.progress(4, 4, "Done")
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            print("ended")
        """
    )
    shown = CODES.sub("", said)
    assert "25%" in shown and "100%" in shown and "Warning: Something to know. [red]a[/red]" in shown
    assert max(len(line.rstrip()) for line in re.split(r"[\r\n]+", shown)) <= 80
    assert said.rfind("\x1b[?25h") > said.rfind("\x1b[?25l") > -1, "the cursor is shown again"
    assert shown.rstrip().endswith("ended") and "\x1b[2J" not in said


def test_elsewhere_nothing_is_drawn_and_rich_is_not_imported(capsys: pytest.CaptureFixture[str]) -> None:
    code = """
    import sys
    from core.commands.terminal import Line, put_changes, put_pairs, put_table
    put_table(["run", "trials"], [["a", "10"], ["long", "2"]])
    put_pairs([("Model", "x")])
    put_changes(("a", "b"), [("seed", "0", "1", ""), ("loss", "1", "2", "worse")])
    with Line() as line:
        line.progress(1, 4, "Measuring: one")
        line.progress(2, 4, "Measuring: two")
        line.event("info", "Said")
    import core.commands.parser
    print("rich" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines() == [
        "run   trials",
        "a         10",
        "long       2",
        "Model             x",
        "seed: 0 -> 1",
        "loss: 1 -> 2 (worse)",
        "False",
    ]
    assert done.stderr.splitlines() == [" 25 %  Measuring: one", "Said"]
