"""The hub's client against a server on this machine that answers as the hub does, over real HTTP."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
SCRIPT = """
import json, sys
from core.catalogue.references import resolve
from core.base.errors import RetortError
from core.base.roles import LOCAL
from core.base.settings import Settings
try:
    found = resolve(sys.argv[1], Settings.load(sys.argv[2]), LOCAL)
    answer = {"folder": str(found.folder), "reference": str(found.reference), **found.provenance}
except RetortError as error:
    answer = {"cause": error.cause, "remedy": error.remedy}
sys.stdout.write(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def hub(tiny_llama: Path) -> Iterator[tuple[str, list[str]]]:
    """Address of the server and the paths it was asked for."""
    good = {p.name: p.read_bytes() for p in tiny_llama.iterdir()}
    coded = json.dumps(json.loads(good["config.json"]) | {"auto_map": {"AutoModel": "evil.Model"}}).encode()
    repositories = {
        "org/tiny": good | {"README.md": b"---\nlicense: mit\n---\n", "train.py": b"print('never')"},
        "org/pickle": {"config.json": good["config.json"], "pytorch_model.bin": b"never opened"},
        "org/coded": good | {"config.json": coded, "evil.py": b"print('never')"},
    }
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return None

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            asked.append(self.path)
            parts = self.path.partition("?")[0].strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                self.information("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main", "tree" in parts)
                return
            content = repositories.get("/".join(parts[:2]), {}).get("/".join(parts[4:]))
            if content is None:
                self.send(404, b"", {"X-Error-Code": "EntryNotFound"}, body)
            else:
                tag = hashlib.sha1(content).hexdigest()
                self.send(200, content, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}, body)

        def information(self, name: str, revision: str, tree: bool) -> None:
            if name not in repositories:
                self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, True)
            elif revision not in ("main", COMMIT):
                self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, True)
            elif tree:
                listed = [
                    {"type": "file", "path": f, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                    for f, c in repositories[name].items()
                ]
                self.send(200, json.dumps(listed).encode(), {"Content-Type": "application/json"}, True)
            else:
                files = [{"rfilename": f} for f in repositories[name]]
                facts = {"id": name, "sha": COMMIT, "siblings": files, "cardData": {"license": "mit"}, "tags": []}
                self.send(200, json.dumps(facts).encode(), {"Content-Type": "application/json"}, True)

        def send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def resolve_in_child(endpoint: str, text: str, tmp_path: Path) -> dict[str, str]:
    environment = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1", "PATH": ""}
    command = [sys.executable, "-c", SCRIPT, text, str(tmp_path / "home")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return dict(json.loads(done.stdout))


def test_a_model_is_downloaded_pinned_and_found_again_offline(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    found = resolve_in_child(hub[0], "hub:org/tiny", tmp_path)
    assert found["reference"] == f"hub:org/tiny@{COMMIT}" and found["licence"] == "mit"
    names = {p.name for p in Path(found["folder"]).iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names and "train.py" not in names
    again = resolve_in_child("http://127.0.0.1:9", "hub:org/tiny@main", tmp_path)
    assert again["reference"] == found["reference"] and "local cache" in again["note"]


def test_no_answer_and_no_copy_is_one_sentence(tmp_path: Path) -> None:
    assert "could not be reached" in resolve_in_child("http://127.0.0.1:9", "hub:org/tiny", tmp_path)["cause"]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("hub:org/pickle", "only as a pickle"),
        ("hub:org/coded", "never runs such code"),
        ("hub:org/none", "knows no public model 'org/none'"),
        ("hub:org/tiny@nope", "has no revision 'nope'"),
    ],
)
def test_what_is_refused_never_travels(hub: tuple[str, list[str]], text: str, cause: str, tmp_path: Path) -> None:
    endpoint, asked = hub
    asked.clear()
    assert cause in resolve_in_child(endpoint, text, tmp_path)["cause"]
    assert not [path for path in asked if path.endswith((".bin", ".safetensors", ".py"))]
