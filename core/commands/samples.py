"""`fetch`: bring samples into the home."""

from __future__ import annotations

import argparse

from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
from core.catalogue.fetch import fetch_sample
from core.catalogue.samples import is_fetched, sample_damage
from core.commands.terminal import Line, put, put_json, refuse, say
from core.registry.formatting import show_bytes
from core.registry.samples import SAMPLES, sample


def register(one: argparse.ArgumentParser) -> None:
    """The options of `fetch`."""
    one.add_argument("samples", nargs="+", metavar="SAMPLE", help=", ".join(SAMPLES))
    one.add_argument("--accept-terms", action="store_true", help="accept the terms of use of samples that have some")


def fetch(chosen: argparse.Namespace, settings: Settings) -> int:
    """Fetches the samples that are not here yet; the sizes are said first.

    Raises:
        RetortError: an id that is none, or terms that were not accepted.
    """
    wanted = [sample(name.removeprefix("sample:")) for name in chosen.samples]
    for one in wanted:
        if one.opt_in and not chosen.accept_terms and not is_fetched(one, settings):
            raise RetortError(f"{one.label} has terms of use. {one.terms}", "Add --accept-terms to accept them.")
    done: list[dict[str, str]] = []
    for one in wanted:
        if not is_fetched(one, settings):
            wrong = sample_damage(one, settings)
            if wrong is not None:
                say(f"{one.label}, which was fetched before, is damaged: {wrong}. It is fetched again.")
            say(f"Fetching {one.label}: {show_bytes(one.download_bytes)} to download, {one.licence}.")
        try:
            with Line() as line:
                folder = fetch_sample(one.id, settings, LOCAL, line, chosen.accept_terms)
        except RetortError as error:
            refuse(error)
            if chosen.json:
                put_json({"fetched": done, "error": {"cause": error.cause, "remedy": error.remedy}})
            return 1
        done.append({"sample": one.id, "label": one.label, "folder": str(folder), "licence": one.licence})
    if chosen.json:
        put_json({"fetched": done})
    else:
        for entry in done:
            put(f"sample:{entry['sample']} is ready ({entry['label']}, {entry['licence']}).")
    return 0
