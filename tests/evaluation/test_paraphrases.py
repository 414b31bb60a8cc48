"""METEOR's table of paraphrases: read once, kept, mended, and asked for what matters."""

import gzip
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.evaluation.meteor import paraphrases
from pipeline.evaluation.meteor.paraphrases import Hashes, Paraphrases, longer, word_hashes

ENTRIES = [("in front of", "before"), ("a lot of", "many"), ("many", "a lot of"), ("a lot of", "lots of"), ("été", "x")]


def phrase(text: str) -> np.uint64:
    found = np.zeros(1, np.uint64)
    for word in word_hashes(text.encode()):
        found = longer(found, np.array([word]))
    return found[0]


def hashes(*texts: str) -> Hashes:
    return np.unique([phrase(text) for text in texts])


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small table in METEOR's form, and a cache folder of its own."""
    file = tmp_path / "table.gz"
    with gzip.open(file, "wt", encoding="utf-8") as text:
        text.writelines(f"0.5\n{one}\n{other}\n" for one, other in ENTRIES)
    monkeypatch.setattr(paraphrases, "jar", lambda name: file)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return file


def found(table: Paraphrases, *texts: str) -> list[tuple[str, str]]:
    names = {phrase(text): text for text in texts}
    known = hashes(*texts)
    return [(names[known[a]], names[known[b]]) for a, b in zip(*table.among(known), strict=True)]


def test_paraphrases_within_a_text_are_found_in_the_order_of_the_table(source: Path) -> None:
    table = Paraphrases.open()
    assert found(table, "before", "many", "in front of") == [("in front of", "before")]
    assert found(table, "lots of", "many", "a lot of", "no such") in (
        [("a lot of", "many"), ("a lot of", "lots of"), ("many", "a lot of")],
        [("many", "a lot of"), ("a lot of", "many"), ("a lot of", "lots of")],
    )
    assert found(table, "\u00e9t\u00e9", "x") == [("\u00e9t\u00e9", "x")]
    assert found(table, "before") == []
    assert table.knows(hashes("before", "lots of", "many")).all()


def test_the_table_is_read_once(source: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.WARNING):
        Paraphrases.open()
        assert "once" in caplog.text
        caplog.clear()
        Paraphrases.open()
        assert caplog.text == ""
    assert len(list((tmp_path / "cache/sa-tsp").iterdir())) == 1


@pytest.mark.parametrize("damage", ["cut", "data", "footer", "other columns", "no rows", "folder"])
def test_a_damaged_file_is_made_anew(source: Path, tmp_path: Path, damage: str) -> None:
    Paraphrases.open()
    (file,) = (tmp_path / "cache/sa-tsp").iterdir()
    whole = file.read_bytes()
    place = {"data": whole.index(phrase("before").tobytes()), "footer": len(whole) - 40}.get(damage, 0)
    if damage in ("other columns", "no rows"):
        columns = {"a": [1]} if damage == "other columns" else {"phrase": [], "other": []}
        table = pa.table(columns)
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    elif damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(
            whole[:-9] if damage == "cut" else whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        )
    assert found(Paraphrases.open(), "before", "in front of") == [("in front of", "before")]
    assert damage == "folder" or file.read_bytes() == whole


def test_without_a_cache_folder_the_table_is_read_every_time_and_the_cure_is_told(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert found(Paraphrases.open(), "before", "in front of") == [("in front of", "before")]
    assert caplog.text.count("not kept") == 2
    assert "set XDG_CACHE_HOME" in caplog.text


def test_a_word_has_one_hash_wherever_it_stands() -> None:
    one, two = word_hashes(b"a  man\nruns a"), word_hashes(b"\nruns man\n")
    assert one[0] == one[3]
    assert (one[1], one[2]) == (two[1], two[0])
    assert len(set(one.tolist())) == 3
    assert len(word_hashes(b"")) == len(word_hashes(b" \n ")) == 0
