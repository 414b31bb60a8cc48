"""METEOR's table of paraphrases: its cache file, and look-ups."""

import gzip
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.evaluation.meteor import paraphrases
from pipeline.evaluation.meteor.paraphrases import Hashes, ParaphraseTable, extend_hashes, word_hashes

ENTRIES = [("in front of", "before"), ("a lot of", "many"), ("many", "a lot of"), ("a lot of", "lots of"), ("été", "x")]


def phrase(text: str) -> np.uint64:
    phrase_hash = np.zeros(1, np.uint64)
    for word in word_hashes(text.encode()):
        phrase_hash = extend_hashes(phrase_hash, np.array([word]))
    return phrase_hash[0]


def hashes(*texts: str) -> Hashes:
    return np.unique([phrase(text) for text in texts])


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small table in METEOR's form, and a cache folder of its own."""
    file = tmp_path / "table.gz"
    with gzip.open(file, "wt", encoding="utf-8") as text:
        text.writelines(f"0.5\n{one}\n{other}\n" for one, other in ENTRIES)
    monkeypatch.setattr(paraphrases, "find_jar", lambda name: file)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return file


def paraphrases_within(table: ParaphraseTable, *texts: str) -> list[tuple[str, str]]:
    names = {phrase(text): text for text in texts}
    phrases = hashes(*texts)
    return [(names[phrases[a]], names[phrases[b]]) for a, b in zip(*table.find_within(phrases), strict=True)]


def test_find_within_returns_paraphrases_in_the_order_of_the_table(source: Path) -> None:
    table = ParaphraseTable.open()
    assert paraphrases_within(table, "before", "many", "in front of") == [("in front of", "before")]
    assert paraphrases_within(table, "lots of", "many", "a lot of", "no such") in (
        [("a lot of", "many"), ("a lot of", "lots of"), ("many", "a lot of")],
        [("many", "a lot of"), ("a lot of", "many"), ("a lot of", "lots of")],
    )
    assert paraphrases_within(table, "\u00e9t\u00e9", "x") == [("\u00e9t\u00e9", "x")]
    assert paraphrases_within(table, "before") == []
    assert table.may_contain(hashes("before", "lots of", "many")).all()


def test_paraphrase_table_reads_the_source_once(source: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.WARNING):
        ParaphraseTable.open()
        assert "once" in caplog.text
        caplog.clear()
        ParaphraseTable.open()
        assert caplog.text == ""
    assert len(list((tmp_path / "cache/sa-tsp").iterdir())) == 1


@pytest.mark.parametrize("damage", ["cut", "data", "footer", "other columns", "no rows", "folder"])
def test_paraphrase_table_replaces_a_damaged_cache_file(source: Path, tmp_path: Path, damage: str) -> None:
    ParaphraseTable.open()
    (file,) = (tmp_path / "cache/sa-tsp").iterdir()
    whole = file.read_bytes()
    place = {"data": whole.index(phrase("before").tobytes()), "footer": len(whole) - 40}.get(damage, 0)
    if damage in ("other columns", "no rows"):
        columns = {"a": [1]} if damage == "other columns" else {"phrase": [], "other": [], "used": []}
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
    assert paraphrases_within(ParaphraseTable.open(), "before", "in front of") == [("in front of", "before")]
    assert damage == "folder" or file.read_bytes() == whole


def test_paraphrase_table_without_a_cache_folder_names_the_remedy(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert paraphrases_within(ParaphraseTable.open(), "before", "in front of") == [("in front of", "before")]
    assert caplog.text.count("not kept") == 2
    assert "set XDG_CACHE_HOME" in caplog.text


def test_word_hashes_do_not_depend_on_the_position() -> None:
    first, second = word_hashes(b"a  man\nruns a"), word_hashes(b"\nruns man\n")
    assert first[0] == first[3]
    assert (first[1], first[2]) == (second[1], second[0])
    assert len(set(first.tolist())) == 3
    assert len(word_hashes(b"")) == len(word_hashes(b" \n ")) == 0
