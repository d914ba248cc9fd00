"""`tag`, `note`, `diff`, `lineage` and `reproduce`: what is known and said about runs."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from core.analysis.lineage import ancestry, family
from core.analysis.run_differences import changes, figures, versions
from core.base.durable_files import write
from core.base.errors import RetortError
from core.base.private_files import hand_on
from core.base.settings import Settings
from core.base.text import one_line
from core.base.untrusted_files import reason
from core.commands.terminal import put, put_changes, put_json, say
from core.integrations.notebook import notebook
from core.recipe.files import dump_recipe
from core.store import RunRow, Store


def tag(chosen: argparse.Namespace, settings: Settings) -> int:
    """Replaces the tags of a run; none given removes them all.

    Raises:
        RetortError: there is no such run, or a tag breaks the rules.
    """
    runs = Store(settings).runs
    runs.annotate(chosen.run, tags=chosen.tags)
    tags = runs.get(chosen.run).tags
    if chosen.json:
        put_json({"id": chosen.run, "tags": list(tags)})
    else:
        say(f"Tags of {chosen.run}: {', '.join(tags)}." if tags else f"{chosen.run} has no tags.")
    return 0


def note(chosen: argparse.Namespace, settings: Settings) -> int:
    """Replaces the note of a run; an empty one removes it.

    Raises:
        RetortError: there is no such run, or the note is too long.
    """
    runs = Store(settings).runs
    runs.annotate(chosen.run, notes=chosen.text)
    if chosen.json:
        put_json({"id": chosen.run, "notes": runs.get(chosen.run).notes})
    else:
        say(f"The note of {chosen.run} is saved.")
    return 0


def diff(chosen: argparse.Namespace, settings: Settings) -> int:
    """What sets two runs apart: recipe, versions and machine, and the figures of matching candidates.

    Raises:
        RetortError: there is no such run.
    """
    store = Store(settings)
    left, right = store.runs.get(chosen.run), store.runs.get(chosen.other)
    mine, theirs = store.candidates.results(run_id=left.id), store.candidates.results(run_id=right.id)
    recipe, environment = changes(left.recipe, right.recipe), versions(mine, theirs)
    shared = figures(mine, theirs)
    if chosen.json:
        put_json(
            {
                "recipe": [asdict(c) for c in recipe],
                "versions": [asdict(c) for c in environment],
                "figures": [asdict(f) for f in shared],
            }
        )
        return 0
    put_changes((left.id, right.id), [(c.path, c.left, c.right, "") for c in (*recipe, *environment)])
    figured = [(f"{f.label}, {f.name}", *f.shown, f.verdict) for f in shared if f.left != f.right]
    put_changes((left.id, right.id), figured)
    if not recipe and not environment and all(f.left == f.right for f in shared):
        say("The two runs do not differ.")
    return 0


def lineage(chosen: argparse.Namespace, settings: Settings) -> int:
    """What a run was built on, as an indented list, and what uses a model of it.

    Raises:
        RetortError: there is no such run.
    """
    runs = Store(settings).runs
    nodes = ancestry(chosen.run, lambda run: runs.get(run).recipe, runs.owner)
    users = [m for m in family(chosen.run, runs.derived(), runs.owner).members if m.level > 0]
    if chosen.json:
        put_json({"nodes": [asdict(n) for n in nodes], "used_by": [asdict(m) for m in users]})
        return 0
    for n in nodes:
        put(f"{'  ' * n.depth}{n.role}: {n.reference}{' (listed above)' if n.repeated else ''}")
    for m in users:
        put(f"used by{'' if m.level == 1 else f' ({m.level} steps on)'}: run:{m.name}")
    return 0


def reproduce(chosen: argparse.Namespace, settings: Settings) -> int:
    """Prints a run's recipe as YAML, or the command that runs it once it is saved; or writes a notebook.

    Raises:
        RetortError: there is no such run, its recipe does not fit this version, or the file cannot be written.
    """
    store = Store(settings)
    run = store.runs.get(chosen.run)
    if chosen.notebook is not None:
        return _write_notebook(chosen, store, run)
    text = dump_recipe(run.parsed())
    if chosen.format == "command":
        text = f"python -m core run run-{run.id}.yaml"
    if chosen.json:
        put_json({"id": run.id, "format": chosen.format, "text": text})
    else:
        put(text.rstrip("\n"))
    return 0


def _write_notebook(chosen: argparse.Namespace, store: Store, run: RunRow) -> int:
    out: Path = chosen.notebook
    text = notebook(run.id, run.parsed(), store.candidates.results(run_id=run.id))
    try:
        write(out, text, private=False)
        hand_on(out)
    except OSError as error:
        raise RetortError(
            f"The notebook could not be written to '{one_line(str(out), 200)}' ({reason(error)}).",
            "Name a file in a folder that is there and that you may write to.",
        ) from error
    if chosen.json:
        put_json({"id": run.id, "file": str(out)})
    else:
        say(f"The notebook is in {out}.")
    return 0
