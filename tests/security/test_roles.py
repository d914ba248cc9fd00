"""Who may do what, asked of core alone: no page and no Streamlit is involved."""

from __future__ import annotations

import ast
import gzip
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.analysis.sensitivity import SensitivitySpec
from core.base.errors import RetortError
from core.base.roles import LOCAL, NEEDS, ROLES, Actor, Role, Roles, identify, may, read_roles
from core.base.settings import Settings
from core.jobs import actions, preview_process, run_notes, submissions
from core.jobs.preview import client
from core.recipe.comparisons import Comparison
from core.recipe.files import load_recipe
from core.store import Store
from core.store.schema import MIGRATIONS
from tests.layout.modules import inside, modules, tree

NOW = 1_800_000_000.0
ROOT = Path(__file__).resolve().parents[2]
ADA = {"sub": "1", "email": "ada@example.org", "email_verified": True, "iat": NOW - 60}
SPEC = SensitivitySpec(model="sample:m")
RECIPE = load_recipe(ROOT / "examples" / "sample-study.yaml")


@pytest.fixture(autouse=True)
def no_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is queued stays queued: these tests are about who may queue it."""
    monkeypatch.setattr(actions, "_start_runner", lambda *_: None)  # every way to a runner leads through it


COMPARED = Comparison(kind="texts", models=("sample:m",), names=("M",), settings={"prompt": "A"}, found={})
ACTIONS: dict[str, tuple[Role, Callable[[Settings, Actor, str], Any]]] = {
    "actions.submit": ("editor", lambda s, who, run: actions.submit(RECIPE, s, who)),
    "actions.queue": ("editor", lambda s, who, run: actions.queue(RECIPE, s, who)),
    "actions.cancel": ("editor", lambda s, who, run: actions.cancel(run, s, who)),
    "actions.retry": ("editor", lambda s, who, run: actions.retry(run, s, who)),
    "actions.stop_and_keep": ("editor", lambda s, who, run: actions.stop_and_keep(run, s, who)),
    "submissions.submit_with_samples": ("admin", lambda s, who, run: submissions.submit_with_samples(RECIPE, s, who)),
    "submissions.fetch_samples": ("admin", lambda s, who, run: submissions.fetch_samples(RECIPE, s, who)),
    "submissions.submit_probe": ("editor", lambda s, who, run: submissions.submit_probe(s, who)),
    "submissions.submit_sensitivity": (
        "editor",
        lambda s, who, run: submissions.submit_sensitivity(SensitivitySpec(model="sample:m"), s, who),
    ),
    "run_notes.annotate": ("editor", lambda s, who, run: run_notes.annotate(run, s, who, tags=["a"], notes="b")),
    "run_notes.vote": ("editor", lambda s, who, run: run_notes.vote("run:a", "run:b", "p", "run:a", s, who)),
    "run_notes.forget_votes": ("admin", lambda s, who, run: run_notes.forget_votes("run:a", "run:b", s, who)),
    "run_notes.save_comparison": ("editor", lambda s, who, run: run_notes.save_comparison(COMPARED, s, who)),
    "run_notes.forget_comparison": ("admin", lambda s, who, run: run_notes.forget_comparison("0" * 16, s, who)),
    "actions.delete": ("admin", lambda s, who, run: actions.delete(run, s, who)),
    "actions.submit_fetch": ("admin", lambda s, who, run: actions.submit_fetch("wiki", s, who)),
    "submissions.submit_download": ("admin", lambda s, who, run: submissions.submit_download("hub:org/name", s, who)),
    "client.release": ("editor", lambda s, who, run: client.release(s, who)),
    "client.status": ("viewer", lambda s, who, run: client.status(s, who)),
    "actions.wait": ("viewer", lambda s, who, run: actions.wait(run, s, timeout=0)),
    "actions.ensure_runner": ("viewer", lambda s, who, run: actions.ensure_runner(s)),
}
ELSEWHERE = {"client.ask": "tested below", "submissions.submit_timing": "tested below"}
INSIDE = {
    "resumable": ["can_help"],
    "actions": ["check_limits", "check_recipe", "is_stopping", "named"],
    "damaged": ["damaged"],
    "device": ["take_device"],
    "executors": ["spawn", "start_detached", "device_lock", "worker_lock"],
    "failures": ["explain", "is_out_of_memory", "lost", "out_of_memory"],
    "guards": [
        "end_for",
        "killed_for_memory",
        "minutes_of",
        "refuse_oversized",
        "refuse_unfit",
        "remember_kills",
        "used_exactly",
        "used_quickly",
    ],
    "backup": ["back_up", "restore"],
    "home_check": ["check_home", "rebuild_home"],
    "kinds": ["download", "fetch", "run_recipe", "sensitivity", "time_again", "work_of"],
    "cleanup": ["sweep_up"],
    "client": ["refuse_if_busy"],
    "server": ["function_of", "main"],
    "preview_process": ["address_file", "end", "live_lock", "wait_until_gone"],
    "request": ["error_event", "explained"],
    "locks": ["held", "holder", "signer"],
    "logs": ["log_path", "log_to_stderr", "tail"],
    "process": ["physical_cores", "prepare_process"],
    "runner": ["main", "runner_lock"],
    "waiting": ["device_user", "waits_for"],
    "worker": ["main", "work"],
}
"""Of each module, what decides nothing or runs in the runner, the worker, the preview server or the command line: pages
do not call it, but for what they show to whoever may look: limits, the end of a log, what is damaged or waited for."""
SHOWN = {
    "resumable.can_help",
    "actions.check_limits",
    "actions.check_recipe",
    "actions.is_stopping",
    "damaged.damaged",
    "logs.log_path",
    "logs.tail",
    "waiting.waits_for",
}


def public(folder: str) -> dict[str, set[str]]:
    """The public functions of each module in a folder."""
    found: dict[str, set[str]] = {}
    for module, path in modules().items():
        if inside(module, folder):
            functions = {n.name for n in tree(path).body if isinstance(n, ast.FunctionDef) and n.name[0] != "_"}
            found[module.rpartition(".")[2]] = functions
    return found


def test_every_public_function_of_the_jobs_is_in_the_table() -> None:
    listed = {*ACTIONS, *ELSEWHERE, *(f"{module}.{name}" for module, names in INSIDE.items() for name in names)}
    found = {f"{module}.{name}" for module, names in public("core.jobs").items() for name in names}
    assert found == listed - {"actions.resume"}, "say who may call it, in ACTIONS, or that no page does, in INSIDE"


def test_pages_call_of_the_jobs_only_what_asks_who_may() -> None:
    called: set[str] = set()
    for module, path in modules().items():
        if not inside(module, "pages", "app"):
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("core.jobs."):
                called |= {f"{(node.module or '').rpartition('.')[2]}.{a.name}" for a in node.names}
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called.add(f"{node.value.id}.{node.attr}")
    functions = {f"{module}.{name}" for module, names in public("core.jobs").items() for name in names}
    assert called & functions - {"actions.resume"} <= {*ACTIONS, *ELSEWHERE} | SHOWN


def test_pages_reach_neither_the_network_nor_what_only_the_command_line_does() -> None:
    """Downloads are runs, whose right is asked in core (tests/security/test_downloads.py)."""
    network = {"fetch_sample", "fetch_snapshot", "dataset_commit", "download", "load_texts", "extract"}
    for module, path in modules().items():
        if inside(module, "pages", "app"):
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.ImportFrom):
                    assert not (node.module or "").startswith("core.commands"), module
                    assert not network & {a.name for a in node.names if node.module != "core.jobs.actions"}, module
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ("resolve", "references.resolve"):
                    assert ast.unparse(node.args[2]) == "None", f"{module} may download while it draws a page"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", ACTIONS)
def test_core_lets_a_role_do_what_it_may_and_no_more(home: Settings, name: str, role: Role) -> None:
    least, act = ACTIONS[name]
    store = Store(home)
    run = store.runs.add("sweep", "Study", RECIPE.model, RECIPE.model_dump(mode="json"), LOCAL)
    if name in ("actions.retry", "actions.delete"):
        store.runs.request_cancel(run)
    elif name == "actions.stop_and_keep":
        store.runs.claim(run)
    who = Actor("ada@example.org", role)
    before, folders = store.runs.find(), sorted(home.runs.rglob("*"))
    if ROLES.index(role) >= ROLES.index(least):
        act(home, who, run)
        return
    with pytest.raises(RetortError, match=f"needs the role {least}, and yours is {role}"):
        act(home, who, run)
    assert store.runs.find() == before and store.events.tail(run) == [] and sorted(home.runs.rglob("*")) == folders


@pytest.mark.parametrize("role", ROLES)
def test_a_viewer_does_not_have_candidates_timed(home: Settings, role: Role) -> None:
    run = Store(home).runs.add("sweep", "Waiting", "sample:m", {}, LOCAL)
    with pytest.raises(RetortError, match="needs the role editor" if role == "viewer" else "has not ended yet"):
        submissions.submit_timing(run, ["key"], home, Actor("a@b.c", role))


@pytest.mark.parametrize("role", ROLES)
def test_a_viewer_does_not_start_the_preview_server(home: Settings, role: Role) -> None:
    Store(home).runs.add("sweep", "Waiting", "sample:m", {}, LOCAL)  # the host refuses everybody while a run waits
    asked = client.ask(home, Actor("a@b.c", role), "generate", {})
    with pytest.raises(RetortError, match="needs the role editor" if role == "viewer" else "using this machine"):
        next(asked)
    assert not preview_process.address_file(home).exists()


def test_the_local_user_may_do_everything() -> None:
    assert all(may(LOCAL, right) for right in NEEDS)


def test_who_did_it_is_kept(home: Settings, caplog: pytest.LogCaptureFixture) -> None:
    who = Actor("ada@example.org", "admin")
    store = Store(home)
    run = actions.submit(RECIPE, home, who)
    assert store.runs.get(run).started_by == "ada@example.org"
    actions.cancel(run, home, who)
    actions.retry(run, home, who)
    run_notes.annotate(run, home, who, notes="mine")
    assert [e.message for e in store.events.tail(run)] == [
        "Cancelled by ada@example.org.",
        "Queued again by ada@example.org.",
        "Tags and note changed by ada@example.org.",
    ]
    for queued in (actions.submit_fetch("wiki", home, who), submissions.submit_probe(home, who)):
        assert store.runs.get(queued).started_by == "ada@example.org"
    run_notes.vote("run:a", "run:b", "p", None, home, who)
    with sqlite3.connect(home.database) as db:
        assert db.execute("SELECT voter FROM votes").fetchall() == [("ada@example.org",)]
    actions.cancel(run, home, who)
    actions.delete(run, home, who)
    assert f"ada@example.org deleted run {run}." in caplog.text


def test_the_local_user_leaves_no_name(home: Settings) -> None:
    run = actions.submit(RECIPE, home, LOCAL)
    actions.cancel(run, home, LOCAL)
    run_notes.annotate(run, home, LOCAL, notes="mine")
    assert Store(home).runs.get(run).started_by == "" and Store(home).events.tail(run) == []


def test_an_old_home_gets_the_columns_and_keeps_what_it_has(home: Settings) -> None:
    old = ROOT / "tests" / "store" / "data" / "format-1.sqlite3.gz"
    home.database.write_bytes(gzip.decompress(old.read_bytes()))
    runs = Store(home).runs.find(oldest_first=True)
    assert [(r.name, r.started_by) for r in runs] == [
        ("First study", ""),
        ("Second study", ""),
        ("Waiting study", ""),
    ]
    new = actions.submit(RECIPE, home, Actor("ada@example.org", "editor"))
    assert Store(home).runs.get(new).started_by == "ada@example.org"


def test_votes_of_format_3_are_kept(home: Settings) -> None:
    with sqlite3.connect(home.database) as db:
        for statement in (s for migration in MIGRATIONS[:3] for s in migration):
            db.execute(statement)
        db.execute("INSERT INTO votes VALUES ('run:a', 'run:b', 'p', 'one', 5.0)")
        db.execute("PRAGMA user_version = 3")
    votes = Store(home).votes
    assert votes.tally("run:a", "run:b") == (1, 0, 0)
    votes.add("run:b", "run:a", "p", "run:b", voter="sub:7")
    with sqlite3.connect(home.database) as db:
        assert db.execute("SELECT preferred, voter FROM votes").fetchall() == [("other", "sub:7")]


def test_a_store_that_reads_only_reads_and_does_not_write(home: Settings) -> None:
    run = Store(home).runs.add("sweep", "Study", "sample:m", {}, LOCAL)
    reader = Store(home, read_only=True)
    assert reader.runs.get(run).name == "Study"
    for write in (
        lambda: reader.runs.add("sweep", "Other", "sample:m", {}, LOCAL),
        lambda: reader.runs.annotate(run, notes="x"),
        lambda: reader.runs.delete(run, lambda _: None),
        lambda: reader.votes.add("a", "b", "p", None),
        lambda: reader.votes.clear("a", "b"),
    ):
        with pytest.raises(RetortError):
            write()
    assert [r.notes for r in Store(home).runs.find()] == [""]


def test_pages_have_no_other_store_and_no_other_settings() -> None:
    """What a page opens itself would neither read only nor know who looks at it."""
    makers = {"Store", "Settings", "Settings.load", "Database"}
    found = {
        (module, ast.unparse(node.func))
        for module, path in modules().items()
        if inside(module, "pages", "app")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in makers
    }
    assert found == {
        ("pages.frame.example", "Store"),  # of the study that comes with Retort, in a home of its own, read only
        ("pages.frame.example", "Settings"),
        ("pages.frame.home", "Store"),
        ("pages.frame.home", "Settings.load"),
        ("pages.frame.login", "Settings.load"),
    }


def test_pages_upload_nothing() -> None:
    """The address that uploads go to is closed, so a field that sends a file there would never end."""
    assert not [module for module, path in modules().items() if "file_uploader(" in path.read_text("utf-8")]


def test_who_asks_is_never_taken_for_granted() -> None:
    """No function has an actor to fall back on, and no page but that of the login speaks for the local user."""
    for module, path in modules().items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef) and inside(module, "core"):
                usual = [a.arg for a in node.args.args[len(node.args.args) - len(node.args.defaults) :]]
                usual += [a.arg for a, v in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if v]
                assert "actor" not in usual, f"{module}.{node.name}"
            if isinstance(node, ast.Name) and node.id == "LOCAL" and inside(module, "pages", "app"):
                assert module == "pages.frame.login", f"{module} acts for somebody else than its visitor"


ROLES_FILE = Roles.model_validate(
    {
        "people": {"ada@example.org": "admin", "Eve@Example.org": "viewer", "sub:42": "editor"},
        "groups": {"ml": "editor", "guests": "viewer"},
    }
)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({}, Actor("ada@example.org", "admin")),
        ({"email": "ADA@example.ORG"}, Actor("ada@example.org", "admin")),
        ({"email": "eve@example.org"}, Actor("eve@example.org", "viewer")),
        ({"email": "eve@example.org", "groups": ["ml", "x"]}, Actor("eve@example.org", "editor")),
        ({"email": "new@example.org", "groups": "guests"}, Actor("new@example.org", "viewer")),
        ({"email": None, "email_verified": None, "sub": "42"}, Actor("sub:42", "editor")),
        ({"email_verified": False, "sub": "42"}, Actor("sub:42", "editor")),
        ({"email_verified": False, "groups": ["guests"]}, Actor("sub:1", "viewer")),
    ],
)
def test_the_highest_role_of_a_person_counts(claims: dict[str, Any], expected: Actor) -> None:
    assert identify(ADA | claims, ROLES_FILE, NOW) == expected


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"email_verified": False}, "does not say that it has verified the address ada@example.org"),
        ({"email_verified": None}, "has verified"),
        ({"email_verified": "true"}, "has verified"),
        ({"email_verified": 1}, "has verified"),
        ({"email": "ada@example.org\n"}, "sub:1, who has no role"),
        ({"email": ["ada@example.org"]}, "sub:1, who has no role"),
        ({"email": "stranger@example.org"}, "signed in as stranger@example.org, who has no role"),
        ({"email": "\u212ada@example.org"}, "no role"),
        ({"email": "sub:42@x"}, "no role"),
        ({"sub": "ada@example.org", "email": None}, "sub:ada@example.org, who has no role"),
        ({"sub": None, "email": None}, "somebody without a name"),
        ({"sub": "42\nadmin deleted run 1", "email": None}, "somebody without a name"),
        ({"sub": "4" * 256, "email": None}, "somebody without a name"),
        ({"groups": [["ml"], 3, None], "email": "stranger@example.org"}, "no role"),
        ({"iat": NOW - 12 * 3600}, "has expired"),
        ({"iat": NOW + 3600}, "has expired"),
        ({"iat": None}, "has expired"),
        ({"iat": True}, "has expired"),
        ({"iat": float("nan")}, "has expired"),
        ({"iat": "1800000000"}, "has expired"),
    ],
)
def test_who_is_not_known_for_sure_is_refused(claims: dict[str, Any], said: str) -> None:
    with pytest.raises(RetortError, match=said):
        identify(ADA | claims, ROLES_FILE, NOW)


def test_the_default_role_is_for_verified_addresses_only() -> None:
    roles = Roles(default="viewer")
    assert identify(ADA, roles, NOW) == Actor("ada@example.org", "viewer")
    with pytest.raises(RetortError, match="has verified"):
        identify(ADA | {"email_verified": False}, roles, NOW)
    with pytest.raises(RetortError, match="no role"):
        identify(ADA | {"email": None}, roles, NOW)


@given(
    st.dictionaries(
        st.sampled_from(["sub", "email", "email_verified", "groups", "iat", "name"]),
        st.none()
        | st.booleans()
        | st.floats()
        | st.text()
        | st.lists(st.text())
        | st.dictionaries(st.text(), st.text()),
    )
)
def test_claims_of_any_shape_give_a_role_of_the_file_or_a_sentence(claims: dict[str, Any]) -> None:
    try:
        found = identify(claims, ROLES_FILE, NOW)
    except RetortError as error:
        assert error.cause and error.remedy
    else:
        assert found.role in ROLES


def test_the_file_of_roles_is_read(home: Settings) -> None:
    home.roles.write_text(
        'default = "viewer"\nhours = 2\ngroups_claim = "teams"\n'
        '[people]\n"Ada@example.org" = "admin"\n[groups]\nml = "editor"\n'
    )
    roles = read_roles(home.roles)
    assert (roles.default, roles.hours, roles.groups_claim) == ("viewer", 2, "teams")
    assert identify(ADA, roles, NOW).role == "admin"
    assert identify(ADA | {"email": "b@c.de", "teams": ["ml"]}, roles, NOW).role == "editor"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        ('[people]\n"a@b.c" = "owner"', "people.a@b.c"),
        ('[people]\n"nobody" = "viewer"', "named by an e-mail address"),
        ('[people]\n"a@b.c" = "viewer"\n"A@b.c" = "admin"', "stands there twice"),
        ('default = "all"', "default"),
        ("hours = 0", "hours"),
        ("hours = inf", "hours"),
        ('user = "x"', "user"),
        ("[people", "cannot be read as TOML"),
        ("\x00", "cannot be read as TOML"),
    ],
)
def test_a_file_that_is_wrong_lets_nobody_in(home: Settings, text: str, said: str) -> None:
    home.roles.write_text(text)
    if not text:  # nobody is named, so nobody gets in
        with pytest.raises(RetortError, match="no role here"):
            identify(ADA, read_roles(home.roles), NOW)
        return
    with pytest.raises(RetortError, match=said) as refusal:
        read_roles(home.roles)
    assert "docs/login.md" in refusal.value.remedy


def test_a_missing_file_lets_nobody_in(home: Settings) -> None:
    with pytest.raises(RetortError, match="Nobody has been given a role"):
        read_roles(home.roles)
