"""Opening a tokenizer so that it cuts text as its tokenizer.json says.

transformers 5 may build another tokenizer from that file's vocabulary, with the normaliser and the word rule of a class
it chooses by model type or by the name in tokenizer_config.json. Figures would then be of other tokens than the
model was trained on. So what it builds is compared with the file as the tokenizers library reads it, and the file wins.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from core.base.errors import RetortError
from core.engine.data.framing import special_frame
from core.engine.models.probes import PROBES

logger = logging.getLogger("retort")

FILE = "tokenizer.json"
SOURCE = "retort_source"
"""Attribute of an opened tokenizer: the folder whose files it was read from."""
PLAIN = "retort_plain"
"""Attribute of an opened tokenizer: True where the class transformers chose was replaced by the file's own rules."""
REPLACED = (
    "transformers would cut this model's text by other rules than its tokenizer.json states: the file's are used."
)
_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_SPECIAL = 8  # special tokens tried inside a text
_known: dict[str, bool] = {}
_MOST_KNOWN = 256


class Opened(NamedTuple):
    """A tokenizer, and sentences on where its files contradict each other."""

    tokenizer: Any
    remarks: tuple[str, ...] = ()


def open_tokenizer(folder: Path) -> Opened:
    """The tokenizer in `folder`, which cuts as its tokenizer.json says where it has one.

    Raises:
        RetortError: none that can be loaded, or one that cannot be made to follow its own file.
    """
    given = _guarded(folder, lambda: _read(AutoTokenizer, folder))
    _refuse_empty(folder, given)
    remarks: list[str] = []
    if (folder / FILE).is_file():
        file = _Lazy(folder)
        if not _remembered(folder, given, file):
            given, remarks = _own(folder, file.read, given), [REPLACED]
        remarks += _framing(folder, given)
    setattr(given, SOURCE, folder)
    setattr(given, PLAIN, REPLACED in remarks)
    return Opened(given, tuple(remarks))


def reads_alike(tokenizer: Any, file: Tokenizer) -> bool:
    """Whether a tokenizer of transformers gives the ids, and the text from ids, that its file gives."""
    file.no_truncation()
    file.no_padding()
    backend = getattr(tokenizer, "backend_tokenizer", None)
    for text in (*PROBES, *_with_specials(tokenizer, file)):
        ids = file.encode(text, add_special_tokens=False).ids
        if ids != tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]:
            return False
        if backend is not None and backend.decode(ids, skip_special_tokens=False) != file.decode(
            ids, skip_special_tokens=False
        ):
            return False
    return True


def _refuse_empty(folder: Path, tokenizer: Any) -> None:
    """Where a folder has no tokenizer, transformers 5 makes one of some families out of nothing: it reads no text."""
    if not any(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in PROBES):
        raise RetortError(
            f"There is no tokenizer in '{folder.name}': what transformers makes without its files reads no text.",
            "Copy the tokenizer's files (tokenizer.json, tokenizer_config.json) into the folder.",
        )


class _Lazy:
    """The file, parsed by the tokenizers library when it is first needed: of a large vocabulary that takes a second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: Tokenizer | None = None

    @property
    def read(self) -> Tokenizer:
        if self._found is None:
            self._found = _guarded(self._folder, lambda: Tokenizer.from_file(str(self._folder / FILE)))
        return self._found


def _remembered(folder: Path, given: Any, file: _Lazy) -> bool:
    """`reads_alike`, once in a process for the same files read by the same class."""
    digest = hashlib.sha256(type(given).__name__.encode())
    for name in (FILE, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        if (folder / name).is_file():
            digest.update(name.encode() + (folder / name).read_bytes())
    key = digest.hexdigest()
    if key not in _known:
        while len(_known) >= _MOST_KNOWN:
            del _known[next(iter(_known))]
        _known[key] = reads_alike(given, file.read) and not _invented(folder, given, file.read)
    return _known[key]


def _invented(folder: Path, given: Any, file: Tokenizer) -> bool:
    """Whether the class transformers chose adds a token that no file of the folder names."""
    if len(given) == file.get_vocab_size(with_added_tokens=True):
        return False
    paths = (folder / name for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"))
    stated = "".join(json.dumps(json.loads(p.read_text("utf-8"))) for p in paths if p.is_file())
    return any(json.dumps(token) not in stated for token in set(given.get_vocab()) - set(file.get_vocab()))


def _own(folder: Path, file: Tokenizer, given: Any) -> Any:
    """The tokenizer by the file's own rules, with the roles of tokens and the template that the folder states."""
    plain = _guarded(folder, lambda: _read(PreTrainedTokenizerFast, folder))
    for role in _ROLES:  # some folders leave the usual ones to the class
        token = getattr(given, role, None)
        if getattr(plain, role, None) is None and token is not None and file.token_to_id(str(token)) is not None:
            setattr(plain, role, token)
    if not reads_alike(plain, file):
        raise RetortError(
            f"transformers cuts text by other rules than the tokenizer.json in '{folder.name}' states.",
            "Save the tokenizer again with save_pretrained where you trust it, and check that it reads texts the same.",
        )
    logger.info("%s: %s replaced by the rules of tokenizer.json", folder, type(given).__name__)
    return plain


def _read(kind: Any, folder: Path) -> Any:
    with _without_empty_code(folder) as readable:
        return kind.from_pretrained(readable, trust_remote_code=False, local_files_only=True)


@contextmanager
def _without_empty_code(folder: Path) -> Iterator[Path]:
    """The folder, or a copy of its small files where `auto_map` is null or empty, which transformers stumbles over."""
    paths = [folder / name for name in ("config.json", "tokenizer_config.json") if (folder / name).is_file()]
    found = {path.name: json.loads(path.read_text("utf-8")) for path in paths}
    if not any("auto_map" in one and not one["auto_map"] for one in found.values()):
        yield folder
        return
    with TemporaryDirectory(prefix="retort-") as scratch:
        for path in folder.iterdir():
            if path.is_file() and path.suffix != ".safetensors":
                shutil.copy2(path, Path(scratch) / path.name)
        for name, one in found.items():
            (Path(scratch) / name).write_text(json.dumps({k: v for k, v in one.items() if k != "auto_map" or v}))
        yield Path(scratch)


def _framing(folder: Path, tokenizer: Any) -> list[str]:
    """A sentence where the settings and the file disagree on a start token: transformers goes by the file."""
    try:
        said = json.loads((folder / "tokenizer_config.json").read_text("utf-8")).get("add_bos_token")
    except (OSError, ValueError, AttributeError):
        return []
    before = special_frame(tokenizer).before
    if said is True and not before and tokenizer.bos_token_id is not None:
        return [
            f"tokenizer_config.json asks for the start token {tokenizer.bos_token} before a text, and tokenizer.json "
            "puts none there: windows begin without it, unless the recipe says 'start_token: each'."
        ]
    if said is False and before == (tokenizer.bos_token_id,):
        return [
            f"tokenizer_config.json asks for no start token, and tokenizer.json puts {tokenizer.bos_token} before a "
            "text: windows begin with it, unless the recipe says 'start_token: none'."
        ]
    return []


def _with_specials(tokenizer: Any, file: Tokenizer) -> list[str]:
    """Texts around special tokens that the file itself knows."""
    known = {str(token.content) for token in file.get_added_tokens_decoder().values()}
    chosen = [t for t in dict.fromkeys(map(str, tokenizer.all_special_tokens)) if t in known][:_SPECIAL]
    return [f"one {token} two{token}three" for token in chosen]


def _guarded(folder: Path, read: Any) -> Any:
    try:
        return read()
    except RetortError:
        raise
    except Exception as error:  # the tokenizers library raises bare exceptions over a file it cannot read
        logger.info("the tokenizer of %s could not be loaded", folder, exc_info=error)
        raise RetortError(
            f"The tokenizer in '{folder.name}' could not be loaded: {first_sentence(error)}",
            "Copy the tokenizer's files (tokenizer.json, tokenizer_config.json) into the folder.",
        ) from error


def first_sentence(error: BaseException) -> str:
    """The beginning of what a library says, as one sentence."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.split(". ")[0][:200].rstrip(".") + "."
