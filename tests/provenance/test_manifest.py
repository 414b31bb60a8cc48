"""Manifests list files and their checksums; a changed or missing file is an error."""

from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.provenance.manifest import read_manifest, write_manifest


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.txt").write_text("alpha")
    (tmp_path / "inner" / "b.txt").write_text("beta")
    path = tmp_path / "manifest.json"
    write_manifest(path, [tmp_path / "inner" / "b.txt", tmp_path / "a.txt"], {"count": 2})
    return path


def test_read_manifest_returns_metadata_and_files(manifest: Path) -> None:
    loaded = read_manifest(manifest)
    assert loaded.metadata == {"count": 2}
    assert loaded.file("inner/b.txt").read_text() == "beta"


def test_write_manifest_of_equal_files_gives_equal_bytes(manifest: Path) -> None:
    before = manifest.read_bytes()
    (manifest.parent / "a.txt").write_text("alpha")
    write_manifest(manifest, [manifest.parent / "a.txt", manifest.parent / "inner" / "b.txt"], {"count": 2})
    assert manifest.read_bytes() == before


def test_manifest_file_detects_a_changed_byte(manifest: Path) -> None:
    (manifest.parent / "a.txt").write_text("alphb")
    with pytest.raises(PipelineError, match=r"a\.txt: differs"):
        read_manifest(manifest).file("a.txt")


def test_manifest_file_detects_another_size_without_hashing(manifest: Path) -> None:
    (manifest.parent / "a.txt").write_text("alph")
    with pytest.raises(PipelineError, match=r"a\.txt: differs"):
        read_manifest(manifest).file("a.txt", check=False)


def test_manifest_file_detects_a_missing_file(manifest: Path) -> None:
    (manifest.parent / "a.txt").unlink()
    with pytest.raises(PipelineError, match=r"a\.txt: missing"):
        read_manifest(manifest).file("a.txt")


def test_read_manifest_refuses_other_json(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(PipelineError, match="not a manifest"):
        read_manifest(tmp_path / "x.json")
