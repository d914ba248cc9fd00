"""Rows of a data set of the hub, copied here once or read as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.base.errors import RetortError
from core.base.roles import Actor, may, not_here
from core.base.settings import Settings
from core.base.untrusted_files import reason
from core.catalogue.hub import dataset_commit
from core.data.rows import Row, Rows


def hub_rows(name: str, split: str | None, settings: Settings, actor: Actor, streaming: bool = False) -> Rows:
    """The rows of `org/name` or `org/name/configuration`, with `@revision`.

    It is pinned to a commit; unless it is streamed, the local cache serves where the hub cannot be reached.

    Raises:
        RetortError: no such data set or split, or no local copy and no network or no right to download.
    """
    found = (_streamed if streaming else _copied)(name, split, settings, actor)
    where = f"hub:{name}"

    def read() -> Iterator[Row]:
        try:
            for number, row in enumerate(found, 1):
                yield Row(row, f"row {number} of {where}")
        except (OSError, ValueError) as error:
            raise RetortError(
                f"{where} cannot be read ({reason(error)}).", "Check its configuration, split and columns."
            ) from error

    features = found.features or {}
    classes = {str(n): tuple(f.names) for n, f in features.items() if hasattr(f, "names") and f.names}
    return Rows.of(where, read, tuple(found.column_names or ()), classes=classes)


def _parts(name: str) -> tuple[str, str | None, str | None]:
    repository, _, revision = name.partition("@")
    parts = repository.split("/")
    return "/".join(parts[:2]), "/".join(parts[2:]) or None, revision or None


def _copied(name: str, split: str | None, settings: Settings, actor: Actor) -> Any:
    import datasets

    path, configuration, revision = _parts(name)
    where = f"hub:{name}"
    allowed = may(actor, "fetch")
    commit = dataset_commit(path, revision, allowed)
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or commit is None  # no minutes of retries where the hub just did not answer
    try:
        return datasets.load_dataset(path, configuration, split=split or "train", revision=commit or revision)
    except (OSError, datasets.exceptions.DatasetNotFoundError) as error:
        if not allowed:
            raise not_here(where) from error
        raise RetortError(
            f"{where} could not be read: the hub could not be reached and there is no local copy.",
            "Check the network and try again, or use sample:wiki or a local file.",
        ) from error
    except (ValueError, RuntimeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RetortError(
            f"{where} cannot be read ({first}).", "Check its configuration, split and revision."
        ) from error
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _streamed(name: str, split: str | None, settings: Settings, actor: Actor) -> Any:
    """Nothing of it lies on this machine, so every reading is a download."""
    import datasets

    if not may(actor, "fetch"):
        raise not_here(f"hub:{name}, read as it is needed,")
    path, configuration, revision = _parts(name)
    commit = dataset_commit(path, revision)
    if commit is None:
        raise RetortError(
            f"hub:{name} cannot be streamed: the hub could not be reached.",
            "Check the network and try again, or use a local file.",
        )
    try:
        return datasets.load_dataset(path, configuration, split=split or "train", revision=commit, streaming=True)
    except (OSError, ValueError) as error:
        raise RetortError(
            f"hub:{name} cannot be read ({reason(error)}).", "Check its configuration, split and columns."
        ) from error
