"""Who may do what. Pages show it; core refuses regardless of what a page shows.

Without a login there is one person, who may do everything. With one, the provider says who somebody is and the
file `roles.toml` in the data folder says what they may do; who is not named there may do nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.base.errors import RetortError

Role = Literal["viewer", "editor", "admin"]
Right = Literal["look", "run", "note", "delete", "fetch", "rebuild", "backup"]

ROLES: tuple[Role, ...] = ("viewer", "editor", "admin")
"""From the least to the most."""

NEEDS: dict[Right, tuple[Role, str]] = {
    "look": ("viewer", "looking at studies"),
    "run": ("editor", "starting or stopping what computes"),
    "note": ("editor", "writing tags, notes and votes"),
    "delete": ("admin", "deleting runs or votes"),
    "fetch": ("admin", "downloading models and texts"),
    "rebuild": ("admin", "making the index of the data folder again"),
    "backup": ("admin", "saving or restoring the data folder"),
}
"""The least role for each right, and the right in words. Downloads are an admin's: they take disk, and terms are
accepted in everybody's name."""

_CLOCK_SECONDS = 120  # how far a provider's clock may be ahead of this machine's
_LONGEST = 255  # characters of a provider's id of a person (OpenID Connect Core 1.0, section 2)
_ADDRESS = re.compile(r"[^\s@:,;<>\"]{1,64}@[^\s@:,;<>\"]{1,190}")


@dataclass(frozen=True)
class Actor:
    """Somebody who asks core for something. `name` is a verified address or `sub:...`, '' for the local user."""

    name: str
    role: Role


LOCAL = Actor("", "admin")
"""The person at this machine: the command line, and pages where no login is set up."""


class Roles(BaseModel):
    """What `roles.toml` says.

    Attributes:
        people: verified e-mail address, or `sub:` and the provider's id of a person, to role.
        groups: name in the claim `groups_claim` to role.
        default: the role of anybody else with a verified address; None refuses them.
        hours: how long a sign-in lasts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    people: dict[str, Role] = {}
    groups: dict[str, Role] = {}
    groups_claim: str = "groups"
    default: Role | None = None
    hours: float = Field(default=12, gt=0, le=24 * 30)

    @field_validator("people")
    @classmethod
    def _alike(cls, people: dict[str, Role]) -> dict[str, Role]:
        found = {_known(name): role for name, role in people.items()}
        if "" in found:
            raise ValueError("a person is named by an e-mail address, or by 'sub:' and the provider's id")
        if len(found) < len(people):
            raise ValueError("an address stands there twice")
        return found


def may(actor: Actor, right: Right) -> bool:
    return ROLES.index(actor.role) >= ROLES.index(NEEDS[right][0])


def role_in(kept: Mapping[str, object], otherwise: Role) -> Role:
    """The role that is named in what `Settings.kept` wrote; `otherwise` where none is."""
    return next((r for r in ROLES if r == kept.get("role")), otherwise)


def check(actor: Actor, right: Right) -> None:
    """Raises RetortError where `actor` does not have the right."""
    if not may(actor, right):
        least, words = NEEDS[right]
        raise RetortError(
            f"{words.capitalize()} needs the role {least}, and yours is {actor.role}.",
            "Ask whoever runs this Retort to change it.",
        )


def not_here(what: str) -> RetortError:
    """What is said to somebody who may not download what is not on this machine."""
    least, words = NEEDS["fetch"]
    return RetortError(
        f"{what} is not on this machine, and {words} needs the role {least}.",
        f"Ask somebody with the role {least} to fetch it (a model on the Model page, anything else by a run of their "
        "own), then start this again.",
    )


def read_roles(path: Path) -> Roles:
    """The file of roles.

    Raises:
        RetortError: it is missing, cannot be read, or says what it cannot say. Nobody gets in then.
    """
    try:
        return Roles.model_validate(tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        cause = "Nobody has been given a role here yet."
    except ValidationError as error:
        first = error.errors()[0]
        cause = f"The file {path.name} is not valid at '{'.'.join(map(str, first['loc']))}': {first['msg']}."
    except OSError as error:
        cause = f"The file {path.name} cannot be read ({(error.strerror or 'unknown reason').lower()})."
    except ValueError:
        cause = f"The file {path.name} cannot be read as TOML."
    raise RetortError(cause, f"Whoever runs this Retort writes {path.name} in its data folder; docs/login.md says how.")


def identify(claims: Mapping[str, Any], roles: Roles, now: float) -> Actor:
    """Who a provider's claims (OpenID Connect Core 1.0, section 5.1) speak of, and the highest role they have here.

    An address counts only where the provider says that it has verified it: otherwise anybody could claim any.

    Args:
        now: seconds since 1970.
    Raises:
        RetortError: the sign-in is too old, its address is not verified, or nobody has given this person a role.
    """
    if not fresh(claims, roles.hours, now):
        raise RetortError("Your sign-in has expired.", "Sign out, then sign in again.")
    address, subject = _address(claims.get("email")), claims.get("sub")
    verified = address if claims.get("email_verified") is True else ""
    plain = isinstance(subject, str) and subject.isprintable() and 0 < len(subject) <= _LONGEST
    names = [n for n in (verified, f"sub:{subject}" if plain else "") if n]
    found = [roles.people[n] for n in names if n in roles.people]
    found += [roles.groups[g] for g in _groups(claims.get(roles.groups_claim)) if g in roles.groups]
    if not found and verified and roles.default is not None:
        found = [roles.default]
    if found and names:
        return Actor(names[0], max(found, key=ROLES.index))
    if address and not verified:
        raise RetortError(
            f"The provider does not say that it has verified the address {address}, so Retort does not trust it.",
            "Verify the address with the provider, then sign in again.",
        )
    raise RetortError(
        f"You are signed in as {names[0] if names else 'somebody without a name'}, who has no role here.",
        "Ask whoever runs this Retort for one, or sign in with another account.",
    )


def fresh(claims: Mapping[str, Any], hours: float, now: float) -> bool:
    """Whether the identity was issued (`iat`) within the last `hours`, and not in the future."""
    issued = claims.get("iat")
    if isinstance(issued, bool) or not isinstance(issued, int | float):
        return False
    return bool(-_CLOCK_SECONDS <= now - issued < hours * 3600)


def _address(value: object) -> str:
    """A plain address in small letters; '' where it is none. Others than ASCII are compared as they are written:
    lowering them would make different ones alike."""
    if not isinstance(value, str) or not value.isprintable() or not _ADDRESS.fullmatch(value):
        return ""
    return value.lower() if value.isascii() else value


def _known(name: str) -> str:
    """A person of the file as `identify` looks for them; '' for what is no name."""
    return name if re.fullmatch(r"sub:.+", name) else _address(name)


def _groups(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, str)]
