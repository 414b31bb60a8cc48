"""Whatever is in a file of annotations: it is read, or one error names the file; never another exception."""

import copy
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.annotation_formats import WRITERS, Events
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datasets.annotations import read_captions
from pipeline.errors import PipelineError

EVENTS: Events = {"film": [(0, 1000, "A man <runs>."), (500, 62_345, 'He says: "Stop!"; 101')]}
JSON_FORMATS = ("label_studio", "via", "activitynet_captions")
ODD_VALUES: list[Any] = [None, True, 3, -1.5, "x", "", [], [None], {}, {"a": [1]}]


def read(folder: Path, format_name: str, change: Any) -> None:
    """Write captions, change the bytes of the file, and read it."""
    written = WRITERS[format_name](folder, EVENTS)
    [path] = [path for path in folder.iterdir() if path.is_file()]
    path.write_bytes(change(path.read_bytes()))
    try:
        videos = read_captions(path, written.reader)
    except PipelineError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
    else:
        assert all(len(video) for video in videos)


@pytest.mark.parametrize("format_name", WRITERS)
def test_changed_bytes_are_read_or_one_error(format_name: str) -> None:
    @settings(max_examples=150)
    @given(st.integers(0, 3000), st.integers(0, 30), st.binary(max_size=8))
    def check(position: int, length: int, inserted: bytes) -> None:
        def change(data: bytes) -> bytes:
            start = position % len(data)
            return data[:start] + inserted + data[start + length :]

        with tempfile.TemporaryDirectory() as folder:
            read(Path(folder), format_name, change)

    check()


@pytest.mark.parametrize("format_name", JSON_FORMATS)
def test_odd_values_at_any_place_are_read_or_one_error(format_name: str, tmp_path: Path) -> None:
    written = WRITERS[format_name](tmp_path, EVENTS)
    whole = json.loads(written.path.read_bytes())
    for place in places(whole):
        for value in ODD_VALUES:
            odd = replace(whole, place, value)
            read(tmp_path, format_name, lambda _, odd=odd: json.dumps(odd).encode())


def places(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the keys that lead to each value of plain data."""
    yield place
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield from places(data[key], (*place, key))


def replace(data: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return plain data with another value at a place."""
    if not place:
        return value
    changed = copy.deepcopy(data)
    target = changed
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    return changed
