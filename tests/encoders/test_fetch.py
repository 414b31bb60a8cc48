"""Tests of fetching weights: a file is complete and verified, or absent."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.commands.weights import main
from pipeline.config.encoders import PUBLISHED_WEIGHTS, PublishedWeights

BODY = bytes(range(256)) * 20_000
DIGEST = hashlib.sha256(BODY).hexdigest()[:8]


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves BODY; the first part of the path selects the behaviour."""

    requests: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.requests.append(self.path)
        behaviour = self.path.split("/")[1]
        if behaviour == "absent":
            self.send_error(404)
            return
        if behaviour in {"redirect", "leak"}:
            self.send_response(302)
            target = (
                self.path.replace("/redirect/", "/good/") if behaviour == "redirect" else "http://example.org/w.pth"
            )
            self.send_header("Location", target)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[: len(BODY) // 2] if behaviour == "cut" else BODY)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Handler.requests = []
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http_server.server_port}"
        http_server.shutdown()
        thread.join()


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, server: str) -> Iterator[object]:
    def at(behaviour: str, digest: str = DIGEST) -> str:
        url = f"{server}/{behaviour}/w-{digest}.pth" if "://" not in behaviour else behaviour
        monkeypatch.setitem(PUBLISHED_WEIGHTS, "w", PublishedWeights("w", url, "r3d_18", "action 4", "a test"))
        return f"w-{digest}.pth"

    yield at


def run(folder: Path) -> int:
    return main(["fetch", "w", "--folder", str(folder)])


@pytest.mark.parametrize("behaviour", ["good", "redirect"])
def test_fetch_weights_writes_a_verified_file(tmp_path: Path, publish, behaviour: str, capsys) -> None:  # type: ignore[no-untyped-def]
    name = publish(behaviour)
    assert run(tmp_path / "new") == 0
    assert (tmp_path / "new" / name).read_bytes() == BODY
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]
    output = capsys.readouterr()
    assert output.out.strip() == str(tmp_path / "new" / name)
    assert "(5 MB)" in output.err


def test_fetch_weights_keeps_an_existing_file(tmp_path: Path, publish, capsys) -> None:  # type: ignore[no-untyped-def]
    name = publish("good")
    (tmp_path / name).write_bytes(BODY)
    assert run(tmp_path) == 0
    assert Handler.requests == []
    (tmp_path / name).write_bytes(BODY[:-1])
    assert run(tmp_path) == 2
    assert f"{name}: exists, but its sha256 does not begin with {DIGEST}; remove it" in capsys.readouterr().err
    assert Handler.requests == []


@pytest.mark.parametrize(
    ("behaviour", "digest", "message"),
    [
        ("cut", DIGEST, "received only 2560000 of 5120000 bytes"),
        ("good", "0123abcd", "does not begin with 0123abcd as published"),
        ("absent", DIGEST, "cannot be fetched to"),
        ("leak", DIGEST, "http://example.org/w.pth: only https is fetched"),
        ("http://example.org/w-0123abcd.pth", DIGEST, "http://example.org/w-0123abcd.pth: only https is fetched"),
        ("ftp://example.org/w-0123abcd.pth", DIGEST, "only https is fetched"),
        ("file:///etc/w-0123abcd.pth", DIGEST, "only https is fetched"),
    ],
)
def test_fetch_weights_leaves_no_file_after_a_failure(
    tmp_path: Path, publish, behaviour: str, digest: str, message: str, capsys
) -> None:  # type: ignore[no-untyped-def]
    publish(behaviour, digest)
    assert run(tmp_path) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not list(tmp_path.iterdir())


def test_fetch_weights_from_an_absent_server_gives_one_line(tmp_path: Path, publish, capsys) -> None:  # type: ignore[no-untyped-def]
    publish("http://127.0.0.1:1/w-0123abcd.pth")
    assert run(tmp_path) == 2
    assert "cannot be fetched to" in capsys.readouterr().err.splitlines()[-1]


def test_fetch_weights_refuses_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["fetch", "imagenet"])
    assert exit_info.value.code == 2
    assert "invalid choice: 'imagenet'" in capsys.readouterr().err
