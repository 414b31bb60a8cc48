"""Files are fetched when asked for, whole and verified or not at all."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.commands.weights import main
from pipeline.encoders.registry import PUBLISHED, Published

BODY = bytes(range(256)) * 20_000
DIGEST = hashlib.sha256(BODY).hexdigest()[:8]


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves BODY in ways that its path asks for."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        way = self.path.split("/")[1]
        if way == "absent":
            self.send_error(404)
            return
        if way in {"redirect", "leak"}:
            self.send_response(302)
            target = self.path.replace("/redirect/", "/good/") if way == "redirect" else "http://example.org/w.pth"
            self.send_header("Location", target)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[: len(BODY) // 2] if way == "cut" else BODY)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Handler.asked = []
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, server: str) -> Iterator[object]:
    def at(way: str, digest: str = DIGEST) -> str:
        url = f"{server}/{way}/w-{digest}.pth" if "://" not in way else way
        monkeypatch.setitem(PUBLISHED, "w", Published("w", url, "r3d_18", "action 4", "a test"))
        return f"w-{digest}.pth"

    yield at


def run(folder: Path) -> int:
    return main(["fetch", "w", "--folder", str(folder)])


@pytest.mark.parametrize("way", ["good", "redirect"])
def test_a_verified_file_comes_under_its_name(tmp_path: Path, publish, way: str, capsys) -> None:  # type: ignore[no-untyped-def]
    name = publish(way)
    assert run(tmp_path / "new") == 0
    assert (tmp_path / "new" / name).read_bytes() == BODY
    assert [path.name for path in (tmp_path / "new").iterdir()] == [name]
    told = capsys.readouterr()
    assert told.out.strip() == str(tmp_path / "new" / name)
    assert "(5 MB)" in told.err


def test_what_is_there_is_not_fetched_again(tmp_path: Path, publish, capsys) -> None:  # type: ignore[no-untyped-def]
    name = publish("good")
    (tmp_path / name).write_bytes(BODY)
    assert run(tmp_path) == 0
    assert Handler.asked == []
    (tmp_path / name).write_bytes(BODY[:-1])
    assert run(tmp_path) == 2
    assert f"{name}: there, but its sha256 does not begin with {DIGEST}; remove it" in capsys.readouterr().err
    assert Handler.asked == []


@pytest.mark.parametrize(
    ("way", "digest", "said"),
    [
        ("cut", DIGEST, "only 2560000 of 5120000 bytes came; fetch it again"),
        ("good", "0123abcd", "does not begin with 0123abcd as published; nothing was kept"),
        ("absent", DIGEST, "cannot be fetched to"),
        ("leak", DIGEST, "http://example.org/w.pth: only https is fetched"),
        ("http://example.org/w-0123abcd.pth", DIGEST, "http://example.org/w-0123abcd.pth: only https is fetched"),
        ("ftp://example.org/w-0123abcd.pth", DIGEST, "only https is fetched"),
        ("file:///etc/w-0123abcd.pth", DIGEST, "only https is fetched"),
    ],
)
def test_whatever_goes_wrong_leaves_no_file(tmp_path: Path, publish, way: str, digest: str, said: str, capsys) -> None:  # type: ignore[no-untyped-def]
    publish(way, digest)
    assert run(tmp_path) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert said in error
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path, publish, capsys) -> None:  # type: ignore[no-untyped-def]
    publish("http://127.0.0.1:1/w-0123abcd.pth")
    assert run(tmp_path) == 2
    assert "cannot be fetched to" in capsys.readouterr().err.splitlines()[-1]


def test_other_names_are_refused_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fetch", "imagenet"])
    assert ended.value.code == 2
    assert "invalid choice: 'imagenet'" in capsys.readouterr().err
