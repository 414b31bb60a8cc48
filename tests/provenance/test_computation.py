"""A finished computation is published again until something changes that decides its result."""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config.generate_captions import GenerateCaptions
from pipeline.config.reencode import Reencode
from pipeline.provenance import computation as module
from pipeline.provenance.computation import KEPT_FOLDER, Computation, computation_path, kept_output_path
from pipeline.provenance.manifest import write_manifest
from pipeline.provenance.record import read_record, record_path

OUTPUT = Path("results/trained/manifest.json")
INPUTS = [Path("data/a.json"), Path("data/b.json")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for path in INPUTS:
        write(path, f"contents of {path}")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def compute(**arguments: str | int | bool) -> Computation:
    return Computation("reencode", Reencode(), INPUTS, [OUTPUT], **arguments)


def finish(text: str = "weights", **arguments: str | int | bool) -> bytes:
    """Finish a computation whose data file has some text, and return the bytes of its manifest."""
    write(OUTPUT.with_name("model.bin"), text)
    write_manifest(OUTPUT, [OUTPUT.with_name("model.bin")], {"text": text})
    compute(**arguments).keep_outputs()
    return OUTPUT.read_bytes()


def test_a_deleted_output_is_published_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert not compute().restore(), "nothing is finished"
    before = finish()
    record = record_path(OUTPUT).read_bytes()
    os.utime(OUTPUT, (1, 1))
    OUTPUT.unlink()
    record_path(OUTPUT).unlink()
    assert compute().restore()
    assert OUTPUT.read_bytes() == before
    assert record_path(OUTPUT).read_bytes() == record
    assert OUTPUT.stat().st_mtime > time.time() - 3600, "newer than its inputs"
    saved = read_record(OUTPUT)
    assert saved is not None
    assert saved.finished in caplog.text
    assert str(computation_path(OUTPUT)) in caplog.text, "what to delete"


def test_settings_of_the_machine_decide_nothing() -> None:
    finished = Computation("generate_captions", GenerateCaptions(device="auto"), INPUTS, [OUTPUT])
    write_manifest(OUTPUT, [], {})
    finished.keep_outputs()
    assert Computation("generate_captions", GenerateCaptions(device="cpu"), INPUTS, [OUTPUT]).restore()
    assert not Computation("generate_captions", GenerateCaptions(beam=3), INPUTS, [OUTPUT]).restore()


def change_code(patch: pytest.MonkeyPatch) -> Computation:
    patch.setattr(module, "code_hash", lambda name: "0123")
    return compute(seed=1)


def change_input(patch: pytest.MonkeyPatch) -> Computation:
    write(INPUTS[0], "other")
    return compute(seed=1)


CHANGES: dict[str, Callable[[pytest.MonkeyPatch], Computation]] = {
    "argument": lambda patch: compute(seed=2),
    "another argument": lambda patch: compute(seed=1, split="val"),
    "stage": lambda patch: Computation("build_corpus", Reencode(), INPUTS, [OUTPUT], seed=1),
    "settings": lambda patch: Computation("reencode", Reencode(crf=3), INPUTS, [OUTPUT], seed=1),
    "order of inputs": lambda patch: Computation("reencode", Reencode(), INPUTS[::-1], [OUTPUT], seed=1),
    "fewer inputs": lambda patch: Computation("reencode", Reencode(), INPUTS[:1], [OUTPUT], seed=1),
    "contents of an input": change_input,
    "code": change_code,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_decides_the_result_is_computed_again(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    finish(seed=1)
    assert compute(seed=1).restore()
    OUTPUT.unlink()
    assert not CHANGES[change](monkeypatch).restore()
    assert not OUTPUT.exists()


def test_a_stage_reports_a_missing_input_itself() -> None:
    finish()
    INPUTS[0].unlink()
    assert not compute().restore()


DAMAGED = {
    "data file": OUTPUT.with_name("model.bin"),
    "kept output": kept_output_path(OUTPUT),
    "computation": computation_path(OUTPUT),
}


@pytest.mark.parametrize("damage", ["missing", "other text", "empty object"])
@pytest.mark.parametrize("file", DAMAGED)
def test_damage_is_computed_again(caplog: pytest.LogCaptureFixture, file: str, damage: str) -> None:
    finish()
    OUTPUT.unlink()
    DAMAGED[file].unlink()
    if damage != "missing":
        DAMAGED[file].write_text("{}" if damage == "empty object" else "{broken")
    assert not compute().restore()
    assert not OUTPUT.exists()
    if (file, damage) != ("computation", "missing"):
        assert str(DAMAGED[file]) in caplog.text


def test_without_hard_links_the_output_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    before = finish()
    assert kept_output_path(OUTPUT).stat().st_nlink == 1
    OUTPUT.unlink()
    assert compute().restore()
    assert OUTPUT.read_bytes() == before


def test_a_copied_folder_of_results_restores_its_own_outputs(folder: Path) -> None:
    before = finish()
    shutil.move("results", "moved")
    moved = Path("moved", *OUTPUT.parts[1:])
    moved.unlink()
    assert Computation("reencode", Reencode(), INPUTS, [moved]).restore()
    assert moved.read_bytes() == before


def test_several_outputs_and_unlisted_files_belong_together() -> None:
    outputs = [Path("a/words.json"), Path("b/idf.json"), Path("b/picture.png")]
    extra = Path("a/rejects.parquet")
    for path in (*outputs, extra):
        write(path, f"text of {path}")
    Computation("reencode", Reencode(), INPUTS, outputs).keep_outputs([extra])
    for path in outputs:
        path.unlink()
    assert Computation("reencode", Reencode(), INPUTS, outputs).restore()
    assert [path.read_text() for path in outputs] == [f"text of {path}" for path in outputs]
    assert all(record_path(path).is_file() for path in outputs)
    extra.unlink()
    assert not Computation("reencode", Reencode(), INPUTS, outputs).restore()


def test_only_the_first_process_writes() -> None:
    finish()
    OUTPUT.unlink()
    assert compute().restore(publish=False)
    assert not OUTPUT.exists()


class Killed(BaseException):
    """Stands for a kill."""


def kill_after(count: int, patch: pytest.MonkeyPatch) -> None:
    """Let the process die in place of a rename, after some renames: all files get their names by renames."""
    rename = Path.replace
    counter = iter(range(count))

    def replace(path: Path, target: Path) -> Path:
        if next(counter, None) is None:
            raise Killed
        return rename(path, target)

    patch.setattr(Path, "replace", replace)


@pytest.mark.parametrize("count", range(5))
def test_a_kill_at_any_write_never_publishes_what_is_not_whole(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    first = finish("first", seed=1)
    with monkeypatch.context() as patch:
        kill_after(count, patch)
        try:
            second = finish("second", seed=2)
        except Killed:
            second = b""
    assert bool(second) == (count == 4), "manifest, record, kept output and computation get their names"
    OUTPUT.unlink()
    assert not compute(seed=1).restore(), "its data file was replaced"
    assert first
    assert compute(seed=2).restore() == bool(second)
    if second:
        assert OUTPUT.read_bytes() == second


@pytest.mark.parametrize("count", range(2))
def test_a_kill_while_it_is_published_is_repaired_by_the_next_run(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    before = finish()
    OUTPUT.unlink()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(count, patch)
        compute().restore()
    assert not OUTPUT.exists()
    assert compute().restore()
    assert OUTPUT.read_bytes() == before


def test_everything_is_flushed_before_the_computation_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []

    def flush(path: Path) -> None:
        assert computation_path(OUTPUT).is_file() == (path == computation_path(OUTPUT))
        flushed.append(path)

    monkeypatch.setattr(module, "flush", flush)
    finish()
    names = (OUTPUT.parent / KEPT_FOLDER).iterdir()
    assert set(flushed) == {OUTPUT.with_name("model.bin"), record_path(OUTPUT), *names}
    assert flushed[-1] == computation_path(OUTPUT)


def test_the_kept_files_are_plain_json() -> None:
    finish(seed=3)
    data = json.loads(computation_path(OUTPUT).read_text())
    assert data["computation"]["arguments"] == {"seed": 3}
    assert [name for name, _ in data["computation"]["inputs"]] == ["../../data/a.json", "../../data/b.json"]
