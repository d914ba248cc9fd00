"""A file of the user's own: the browser reads it and hands its bytes over, since the server takes no uploads."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import streamlit as st

from core.base.errors import RetortError
from pages.frame.states import refused

_ASSETS = Path(__file__).parent / "assets"
Take = Callable[[str, bytes], None]
"""What is done with a file's name and bytes; a refusal it raises is shown under the field."""


def ask(key: str, label: str, endings: Sequence[str], most: int, take: Take) -> None:
    """The field, and under it what the last file was refused for.

    Args:
        most: bytes; of a larger file only the name arrives, and its bytes are one too many: `take` refuses it.
    """
    _field()(
        key=key,
        data={"label": label, "endings": list(endings), "most": most},
        on_file_change=partial(_taken, key, most, take),
    )
    if refusal := st.session_state.get(f"_{key}-refused"):
        refused(*refusal)


def _taken(key: str, most: int, take: Take) -> None:
    told = st.session_state[key]["file"]
    st.session_state.pop(f"_{key}-refused", None)
    try:
        size = int(told["size"])
        raw = base64.b64decode(told["bytes"], validate=True)
        take(str(told["name"]), raw if size <= most else b" " * (most + 1))
    except RetortError as error:
        st.session_state[f"_{key}-refused"] = (error.cause, error.remedy)
    except (TypeError, KeyError, ValueError, binascii.Error):
        st.session_state[f"_{key}-refused"] = ("The file did not arrive whole.", "Choose it again.")


@cache
def _source() -> tuple[str, str]:
    css, js = ((_ASSETS / f"file_input.{kind}").read_text("utf-8") for kind in ("css", "js"))
    return css, js


def _field() -> Any:
    css, js = _source()
    html = "<label><span></span><input type='file'></label>"
    return st.components.v2.component("retort.file_input", html=html, css=css, js=js)
