"""A real server, and a real OpenID provider for it to ask, both on this machine."""

from __future__ import annotations

import json
import secrets
import subprocess
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.base.settings import Settings
from core.jobs.locks import FileLock
from core.jobs.runner import runner_lock
from scripts.dashboard import free_port, serving
from tests.pages.study import failed_run, finished_study

STUDY = "Falcon study of the tests"
PEOPLE = ("viewer", "editor", "admin", "liar", "stranger")
ROLES = "[people]\n" + "\n".join(
    f'"{name}@example.org" = "{role}"'
    for name, role in {"viewer": "viewer", "editor": "editor", "admin": "admin", "liar": "admin"}.items()
)


@contextmanager
def study_home(folder: Path) -> Iterator[Settings]:
    """A home with a finished and a failed study, whose queue nobody works on: what is started stays queued."""
    settings = Settings(home=folder)
    (folder / "models").mkdir(parents=True)
    finished_study(settings, STUDY)
    failed_run(settings)
    lock = FileLock(runner_lock(settings))
    assert lock.acquire()
    try:
        yield settings
    finally:
        lock.release()


@dataclass(frozen=True)
class Shared:
    """A server with a login.

    `secrets`: what may be seen nowhere. `fresh`: the first look at it, a deep link.
    """

    settings: Settings
    port: int
    provider: str
    cookie_secret: str
    secrets: tuple[str, ...]
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


Starts = Callable[[], Shared]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A server with a login, and its provider: any of PEOPLE can sign in there; `liar` has an unverified address."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the provider uses a part of Authlib that is to move
        from oidc_provider_mock import User, run_server_in_thread
    users = [
        User(sub=name, claims={"email": f"{name}@example.org", "email_verified": name != "liar"}) for name in PEOPLE
    ]
    port, cookie_secret = free_port(), secrets.token_urlsafe(32)
    with ExitStack() as stack:
        settings = stack.enter_context(study_home(tmp_path_factory.mktemp("shared") / "home"))
        settings.roles.write_text(ROLES)
        running = stack.enter_context(
            run_server_in_thread(require_client_registration=True, require_nonce=True, user_claims=users)
        )
        provider = f"http://localhost:{running.server_port}"
        asked = json.dumps({"redirect_uris": [f"http://127.0.0.1:{port}/oauth2callback"]}).encode()
        answer = urllib.request.urlopen(
            urllib.request.Request(f"{provider}/oauth2/clients", asked, {"Content-Type": "application/json"})
        )
        client = json.load(answer)
        auth = {
            "redirect_uri": f"http://127.0.0.1:{port}/oauth2callback",
            "cookie_secret": cookie_secret,
            "client_id": client["client_id"],
            "client_secret": client["client_secret"],
            "server_metadata_url": f"{provider}/.well-known/openid-configuration",
        }
        file = settings.home.parent / "secrets.toml"
        file.write_text("[auth]\n" + "\n".join(f'{k} = "{v}"' for k, v in auth.items()))
        process = stack.enter_context(serving(settings, port, STREAMLIT_SECRETS_FILES=str(file)))
        yield Shared(
            settings,
            port,
            provider,
            cookie_secret,
            (cookie_secret, str(client["client_secret"])),
            process,
        )
