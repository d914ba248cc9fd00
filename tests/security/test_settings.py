"""Settings of a login that would not be safe, and hosts that are this machine."""

from __future__ import annotations

import pytest

from pages.frame.login import problem_of
from pages.frame.network import is_local

GOOD = {
    "redirect_uri": "https://retort.example/oauth2callback",
    "cookie_secret": "x" * 32,
    "client_id": "retort",
    "client_secret": "hush",
    "server_metadata_url": "https://provider.example/.well-known/openid-configuration",
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"redirect_uri": "http://localhost:8501/oauth2callback"},
        {"redirect_uri": "http://localhost:{port}/oauth2callback", "server_metadata_url": "http://[::1]:9/x"},
        {"redirect_uri": "https://retort.example/below/oauth2callback"},
        {"client_kwargs": {"prompt": "login"}},
    ],
)
def test_settings_that_are_whole_and_safe_are_used(change: dict[str, object]) -> None:
    assert problem_of(GOOD | change) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *[({key: ""}, f"lack {key}.") for key in GOOD],
        ({"client_secret": 5}, "lack client_secret."),
        ({"cookie_secret": "x" * 31}, "shorter than 32"),
        ({"redirect_uri": "https://retort.example/"}, "/oauth2callback"),
        ({"redirect_uri": "https://retort.example/?oauth2callback"}, "/oauth2callback"),
        ({"redirect_uri": "http://retort.example/oauth2callback"}, "redirect_uri of the login is not https"),
        ({"redirect_uri": "http://localhost.evil.example/oauth2callback"}, "is not https"),
        ({"server_metadata_url": "http://provider.example/x"}, "server_metadata_url of the login is not https"),
        ({"server_metadata_url": "file:///etc/passwd"}, "is not https"),
    ],
)
def test_settings_that_are_not_are_refused_without_their_values(change: dict[str, object], said: str) -> None:
    problem = problem_of(GOOD | change)
    assert said in problem
    assert GOOD["client_secret"] not in problem and "xxx" not in problem and "evil" not in problem


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_names_of_this_machine(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [None, "", "*", "0.0.0.0", "::", "192.168.0.2", "localhost.evil.example", "127.0.0.1.evil.example", "2130706433"],
)
def test_names_that_are_not(host: str | None) -> None:
    assert not is_local(host)
