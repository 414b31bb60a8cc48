"""What was parsed once is remembered by its contents."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.provenance import parsed_sources as module

SOURCE = b'"""Doc."""\nfrom pipeline.video.decode import frames\nX = "pipeline.features.networks.i3d:build"\n'
STAMPS = Path("results", module.STAMPS)


@pytest.fixture(autouse=True)
def fresh_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has parsed nothing, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_new", {})
    module._remembered.cache_clear()
    yield
    module._remembered.cache_clear()


def restart(monkeypatch: pytest.MonkeyPatch, *, may_parse: bool) -> None:
    """Forget what this process has parsed, as a new process; let it fail if it parses."""
    module._remembered.cache_clear()
    if not may_parse:
        monkeypatch.setattr(module, "_parse", lambda _: pytest.fail("parsed again"))


def test_a_source_is_parsed_once_in_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    names, digest = module.parse_once(SOURCE)
    assert names == ["pipeline.features.networks.i3d", "pipeline.video.decode", "pipeline.video.decode.frames"]
    module.save_parsed(STAMPS)
    restart(monkeypatch, may_parse=False)
    assert list(module.parse_once(SOURCE)) == [names, digest]


def test_an_edited_source_is_parsed_again() -> None:
    _, digest = module.parse_once(SOURCE)
    module.save_parsed(STAMPS)
    assert module.parse_once(SOURCE + b"Y = 1\n")[1] != digest
    module.save_parsed(STAMPS)
    [path] = STAMPS.iterdir()
    assert len(json.loads(path.read_text())) == 2, "both are remembered"


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_damaged_file_is_replaced(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    expected = module.parse_once(SOURCE)
    module.save_parsed(STAMPS)
    [path] = STAMPS.iterdir()
    path.write_text(text)
    restart(monkeypatch, may_parse=True)
    assert module.parse_once(SOURCE) == expected
    module.save_parsed(STAMPS)
    assert json.loads(path.read_text()) == {key: list(value) for key, value in module._remembered().items()}


def test_nothing_is_written_if_nothing_was_parsed() -> None:
    module.save_parsed(STAMPS)
    assert not STAMPS.exists()
