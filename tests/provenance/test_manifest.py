"""Manifests vouch for payloads, and for nothing else."""

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


def test_payloads_are_found(manifest: Path) -> None:
    read = read_manifest(manifest)
    assert read.facts == {"count": 2}
    assert read.payload("inner/b.txt").read_text() == "beta"


def test_equal_payloads_give_equal_bytes(manifest: Path) -> None:
    before = manifest.read_bytes()
    (manifest.parent / "a.txt").write_text("alpha")
    write_manifest(manifest, [manifest.parent / "a.txt", manifest.parent / "inner" / "b.txt"], {"count": 2})
    assert manifest.read_bytes() == before


def test_a_flipped_bit_is_found(manifest: Path) -> None:
    (manifest.parent / "a.txt").write_text("alphb")
    with pytest.raises(PipelineError, match=r"a\.txt: not as"):
        read_manifest(manifest).payload("a.txt")


def test_a_cut_payload_is_found_without_hashing(manifest: Path) -> None:
    (manifest.parent / "a.txt").write_text("alph")
    with pytest.raises(PipelineError, match=r"a\.txt: not as"):
        read_manifest(manifest).payload("a.txt", check=False)


def test_an_absent_payload_is_found(manifest: Path) -> None:
    (manifest.parent / "a.txt").unlink()
    with pytest.raises(PipelineError, match="not there"):
        read_manifest(manifest).payload("a.txt")


def test_other_json_is_not_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(PipelineError, match="not a manifest"):
        read_manifest(tmp_path / "x.json")
