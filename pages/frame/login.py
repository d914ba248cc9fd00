"""Sign-in with OpenID Connect where it is set up (docs/login.md), and what the person who signed in may do.

Streamlit speaks with the provider and keeps the identity in a signed cookie. Whether it counts, and for what, is
decided by `core.base.roles`, anew whenever something is asked: a role that is taken away is gone at once.
"""

from __future__ import annotations

import os
import threading
import time
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from core.base.errors import RetortError
from core.base.roles import LOCAL, NEEDS, ROLES, Actor, Right, check, identify, may, read_roles
from core.base.settings import Settings
from pages.frame.network import foreign_page, is_local, only_here
from pages.frame.states import refused
from pages.frame.text import md

_KEYS = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
_SECRET = 32  # characters
_WHERE = "Whoever runs this Retort sets it in .streamlit/secrets.toml; docs/login.md says how."
_ICON = ":material/login:"

_SECONDS = 1.0  # a page asks a dozen times a rerun, and Streamlit looks for its files each time
_read: tuple[float, dict[str, Any] | RetortError | None] | None = None

_lock = threading.Lock()
_signed_out: dict[str, int] = {}  # id of a person -> when they signed out; identities issued before no longer count


class NotSignedIn(RetortError):
    """Nobody has signed in yet."""

    def __init__(self) -> None:
        super().__init__("You are not signed in.", "Reload the page and sign in.")


def configured() -> dict[str, Any] | None:
    """The `[auth]` section of Streamlit's secrets; None where no login is set up. Read again after a second.

    Raises:
        RetortError: it is there but incomplete or unsafe. Nobody gets in then.
    """
    global _read
    read, now = _read, time.monotonic()
    if read is None or now - read[0] > _SECONDS:
        try:
            read = now, _configured()
        except RetortError as error:
            read = now, error
        _read = read
    if isinstance(read[1], RetortError):
        raise RetortError(read[1].cause, read[1].remedy)
    return read[1]


def _configured() -> dict[str, Any] | None:
    if not st.secrets.load_if_toml_exists():
        if any(os.path.exists(path) for path in st.get_option("secrets.files")):
            raise RetortError("The file with the settings of the login cannot be read as TOML.", _WHERE)
        return None
    if "auth" not in st.secrets:
        return None
    auth = dict(st.secrets["auth"])
    if problem := problem_of(auth):
        raise RetortError(problem, _WHERE)
    return auth


def actor() -> Actor:
    """Who this run of the script acts for; asked for anew each time.

    Raises:
        RetortError: not signed in, signed out, expired, not verified, without a role, or the login is set up wrongly.
    """
    if configured() is None:
        return LOCAL
    claims = st.user.to_dict()
    if claims.get("is_logged_in") is not True:
        raise NotSignedIn
    issued = claims.get("iat")
    if isinstance(issued, int | float) and issued < _signed_out.get(str(claims.get("sub")), 0):
        raise NotSignedIn
    settings = Settings.load()
    return identify(claims, read_roles(settings.roles), time.time())


def gate() -> bool:
    """Whether the page may be shown; otherwise says why not, or asks to sign in."""
    try:
        auth = configured()
        if auth is None and not only_here():
            refused(
                "Retort has no login set up, so it answers on this machine only.",
                "Start it on 127.0.0.1 with the allowed hosts it comes with, or set up a login as in docs/login.md.",
            )
            return False
        if foreign_page(_origin(auth["redirect_uri"]) if auth else ""):
            refused(
                "Another program's web page tried to open Retort.", "Open Retort under its own address in a new tab."
            )
            return False
        actor()
    except NotSignedIn:
        _sign_in()
        return False
    except RetortError as error:
        refused(error.cause, error.remedy)
        if st.user.get("is_logged_in") is True:
            _sign_out_button()
        return False
    return True


def needed() -> bool:
    """Whether people sign in here."""
    try:
        return configured() is not None
    except RetortError:
        return True


def notice() -> None:
    """For somebody whose role does not let them start anything: a line that says so."""
    who = actor()
    if not may(who, "run"):
        st.caption(
            f":material/visibility: You are signed in as {md(who.name)}, a {who.role}: you may look and download. "
            f"Starting something needs the role {NEEDS['run'][0]}."
        )


def button(right: Right, label: str, **options: Any) -> bool:
    """`st.button` for what needs a right: where it is missing it is disabled, and its help says why."""
    return st.button(label, **locked(right, options))


def locked(right: Right, options: dict[str, Any]) -> dict[str, Any]:
    """Options of a button, disabled and explained where the visitor does not have the right."""
    why = lacking(right)
    return options | {"disabled": True, "help": md(why, 300)} if why else options


def lacking(right: Right) -> str:
    """Why the visitor does not have this right; '' where they have it."""
    try:
        check(actor(), right)
    except RetortError as error:
        return error.cause
    return ""


def account() -> None:
    """Who is signed in, what they may do, and the way out."""
    who = actor()
    st.title("Account", anchor=False)
    with st.container(border=True, width=720):
        st.markdown(f"Signed in as **{md(who.name)}**, with the role **{who.role}**.")
        for right, (least, words) in NEEDS.items():
            icon = ":material/check:" if may(who, right) else ":material/block:"
            text = words.capitalize() + ("" if may(who, right) else f": needs the role {least}")
            st.markdown(f"{icon} {text}")
        st.caption(f"Roles are {', '.join(ROLES[:-1])} and {ROLES[-1]}. Whoever runs this Retort gives them.")
    _sign_out_button()


def _sign_in() -> None:
    with st.container(horizontal_alignment="center"):
        st.space("large")
        with st.container(border=True, width=460, horizontal_alignment="center"):
            st.space("small")
            st.markdown("## Sign in to Retort", text_alignment="center", anchors=False)
            st.markdown("Your organisation's account opens it.", text_alignment="center")
            st.button("Sign in", type="primary", icon=_ICON, on_click=st.login)
            st.space("small")


def _sign_out_button() -> None:
    st.button(
        "Sign out",
        icon=":material/logout:",
        on_click=sign_out,
        help="Ends all your sessions here, in every tab and browser.",
    )


def sign_out() -> None:
    """Ends every session of this person, for as long as this server runs."""
    subject = str(st.user.to_dict().get("sub"))
    with _lock:
        _signed_out[subject] = int(time.time())
    st.logout()


def problem_of(auth: dict[str, Any]) -> str:
    """What is wrong with the section, without its values; '' where nothing is."""
    missing = [k for k in _KEYS if not isinstance(auth.get(k), str) or not auth[k]]
    if missing:
        return f"The settings of the login lack {', '.join(missing)}."
    if len(auth["cookie_secret"]) < _SECRET:
        return f"The cookie_secret of the login is shorter than {_SECRET} characters, so that it could be guessed."
    if urlsplit(auth["redirect_uri"]).path.rpartition("/")[2] != "oauth2callback":
        return "The redirect_uri of the login does not end in /oauth2callback."
    for key in ("redirect_uri", "server_metadata_url"):
        parts = urlsplit(auth[key])
        if parts.scheme != "https" and not (parts.scheme == "http" and is_local(parts.hostname)):
            return f"The {key} of the login is not https, so that others on the network could read along."
    if find_spec("authlib") is None or find_spec("httpx") is None:
        return "The packages Authlib and httpx, which the login needs, are not installed."
    return ""


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
