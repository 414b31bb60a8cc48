"""The code stamp sees every real change of a stage's code, and nothing else."""

from pathlib import Path

import pytest

from pipeline.provenance import code_hash as module


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package of the same name: stage -> video.decode; other is unrelated."""
    package = tmp_path / "pipeline"
    (package / "video").mkdir(parents=True)
    (package / "__init__.py").write_text('"""Package."""\n')
    (package / "video" / "__init__.py").write_text("")
    (package / "stage.py").write_text("from pipeline.video.decode import frames\nX = frames\n")
    (package / "video" / "decode.py").write_text('"""Doc."""\n\ndef frames():\n    """Frames."""\n    return 1\n')
    (package / "other.py").write_text("Y = 1\n")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return package


def stamp() -> str:
    module._read.cache_clear()
    return module.stamp("pipeline.stage")


def test_closure_follows_imports_and_packages(project: Path) -> None:
    assert module.closure("pipeline.stage") == {
        "pipeline",
        "pipeline.stage",
        "pipeline.video",
        "pipeline.video.decode",
    }


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("video/decode.py", '"""Other."""\n# why\ndef frames():\n    return  1\n'),
        ("other.py", "Y = 2\n"),
        ("__init__.py", ""),
    ],
)
def test_comments_docstrings_format_and_strangers_do_not_count(project: Path, file: str, text: str) -> None:
    before = stamp()
    (project / file).write_text(text)
    assert stamp() == before


@pytest.mark.parametrize("file", ["video/decode.py", "stage.py", "video/__init__.py"])
def test_a_real_edit_anywhere_in_the_closure_counts_and_its_reversal_too(project: Path, file: str) -> None:
    before = stamp()
    old = (project / file).read_text()
    (project / file).write_text(old + "Z = 3\n")
    assert stamp() != before
    (project / file).write_text(old)
    assert stamp() == before
