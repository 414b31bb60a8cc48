"""The code hash changes with every change of a stage's code, and with nothing else."""

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


def hash_of_stage() -> str:
    module._parse.cache_clear()
    return module.code_hash("pipeline.stage")


def test_import_closure_follows_imports_and_packages(project: Path) -> None:
    assert module.import_closure("pipeline.stage") == {
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
def test_comments_docstrings_and_other_modules_do_not_change_the_code_hash(project: Path, file: str, text: str) -> None:
    before = hash_of_stage()
    (project / file).write_text(text)
    assert hash_of_stage() == before


@pytest.mark.parametrize("file", ["video/decode.py", "stage.py", "video/__init__.py"])
def test_an_edit_in_the_import_closure_changes_the_code_hash_until_it_is_undone(project: Path, file: str) -> None:
    before = hash_of_stage()
    old = (project / file).read_text()
    (project / file).write_text(old + "Z = 3\n")
    assert hash_of_stage() != before
    (project / file).write_text(old)
    assert hash_of_stage() == before
