"""Models of the Hugging Face hub: pinned to a commit, safetensors only, refused before the weights travel."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.errors import RetortError
from core.catalogue.checks import check_code, check_weights, read_json
from core.catalogue.weight_files import weight_files

FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.model", "*.txt", "*.jinja", "README.md"]
_SKIPPED = ["onnx/*", "openvino/*", "original/*", "coreml/*", "consolidated*"]
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TIMEOUT = 10.0


@dataclass(frozen=True)
class Snapshot:
    """One commit of a hub model on this disk."""

    folder: Path
    commit: str
    licence: str
    note: str


def fetch_snapshot(name: str, revision: str | None, download: bool = True) -> Snapshot:
    """The model's files at one commit, from the hub or from the local cache.

    `revision` may be a branch or tag; the result names the commit it stood for. Without a network the
    cached copy is used where there is a whole one. A token comes from the environment (`HF_TOKEN`).

    Raises:
        RetortError: unknown or gated model, remote code, pickles only, or no network and no cached copy.
    """
    from huggingface_hub import constants

    if not download or constants.HF_HUB_OFFLINE:
        return _cached(name, revision, asked=False)
    if revision and _COMMIT.fullmatch(revision):
        try:
            return _cached(name, revision)
        except RetortError:
            pass  # this commit is not here yet: ask the hub
    return _online(name, revision)


def _online(name: str, revision: str | None) -> Snapshot:
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub import errors as hub

    try:
        info = HfApi().model_info(name, revision=revision, timeout=_TIMEOUT)
        check_weights(f"hub:{name}", [s.rfilename for s in info.siblings or []])
        config = hf_hub_download(name, "config.json", revision=info.sha)
        check_code(f"hub:{name}", read_json(Path(config)))
        # By the name asked for, so that the cache remembers which commit it stood for; the folder is named by it.
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=FILES, ignore_patterns=_SKIPPED))
    except hub.GatedRepoError as error:
        raise RetortError(
            f"hub:{name} is gated: its owner asks you to accept terms first.",
            "Accept them on its page, set HF_TOKEN in the environment, and restart Retort.",
        ) from error
    except hub.RevisionNotFoundError as error:
        raise RetortError(f"hub:{name} has no revision '{revision}'.", "Check the branch, tag or commit.") from error
    except hub.RepositoryNotFoundError as error:
        raise RetortError(
            f"The hub knows no public model '{name}'.", "Check the spelling; for a private model set HF_TOKEN."
        ) from error
    except hub.LocalEntryNotFoundError:  # the connection broke on the way
        return _cached(name, revision)
    except (hub.EntryNotFoundError, hub.HFValidationError, ValueError) as error:
        raise RetortError(f"hub:{name} is not a model transformers can load.", "Choose another model.") from error
    except RetortError:
        raise
    except Exception as error:  # the client raises its transport's own errors, which differ by version
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise RetortError(f"There is no room on the disk for hub:{name}.", "Free some space and retry.") from error
        return _cached(name, revision)
    data: Any = getattr(info, "card_data", None)
    return Snapshot(folder, folder.name, str(data.get("license") or "") if data else "", "")


def dataset_commit(name: str, revision: str | None, ask: bool = True) -> str | None:
    """The commit a data set's branch or tag stands for; None where the hub cannot be reached, or may not be asked.

    Raises:
        RetortError: the hub knows no such public data set or revision.
    """
    from huggingface_hub import HfApi
    from huggingface_hub import errors as hub

    if not ask:
        return None
    try:
        return str(HfApi().dataset_info(name, revision=revision, timeout=_TIMEOUT).sha)
    except (hub.RepositoryNotFoundError, hub.RevisionNotFoundError, hub.HFValidationError) as error:
        raise RetortError(
            f"The hub knows no public data set '{name}'{f' at {revision}' if revision else ''}.",
            "Check the spelling; for a private or gated one set HF_TOKEN in the environment.",
        ) from error
    except Exception:  # the client raises its transport's own errors, which differ by version
        return None


def _cached(name: str, revision: str | None, asked: bool = True) -> Snapshot:
    why = ", and the hub could not be reached" if asked else ""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(
            snapshot_download(
                name, revision=revision, local_files_only=True, allow_patterns=FILES, ignore_patterns=_SKIPPED
            )
        )
    except Exception as error:  # as above: any failure means there is no whole local copy
        raise RetortError(
            f"hub:{name}{f'@{revision}' if revision else ''} is not on this disk{why}.",
            "Check the network and try again, or use a sample or a model from a local folder."
            if asked
            else "Download it on the Model page, or use a sample or a model from a local folder.",
        ) from error
    try:
        weight_files(folder)
    except RetortError as error:
        raise RetortError(
            f"Only a part of hub:{name} is on this disk{why}.", "Download it again, with a network."
        ) from error
    return Snapshot(folder, folder.name, "", "From the local cache; the hub was not asked for a newer version.")
