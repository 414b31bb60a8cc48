"""Tables of dataclass rows: the schema on disk, the round trip, and the errors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import PipelineError
from pipeline.io.tables import read_columns, read_rows, schema_of, write_rows


@dataclass(frozen=True)
class Sample:
    video: str
    frames: int
    shard: Annotated[int, pa.int32()]
    fps: float
    audio: bool
    reason: str | None
    annotator: Annotated[int, pa.int32()] | None = None


@dataclass(frozen=True)
class Part:
    reason: str | None
    video: str


SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("frames", pa.int64()),
        ("shard", pa.int32()),
        ("fps", pa.float64()),
        ("audio", pa.bool_()),
        ("reason", pa.string()),
        ("annotator", pa.int32()),
    ]
)
ROWS = [Sample("v_a", 2**40, 1, 29.97, True, None), Sample("v_ü", 0, -3, 30.0, False, "cut_short", 2)]


def test_schema_of_follows_the_annotations_in_their_order() -> None:
    assert schema_of(Sample).equals(SCHEMA, check_metadata=True)


@pytest.mark.parametrize("annotation", [list[str], Path, str | int, str | int | None, Annotated[int, "int32"]])
def test_schema_of_refuses_annotations_without_an_arrow_type(annotation: object) -> None:
    row_type = dataclass(frozen=True)(type("Bad", (), {"__annotations__": {"cell": annotation}}))
    with pytest.raises(TypeError, match=r"Bad\.cell"):
        schema_of(row_type)


@pytest.mark.parametrize("rows", [ROWS, []])
def test_read_rows_returns_what_write_rows_wrote(tmp_path: Path, rows: list[Sample]) -> None:
    write_rows(tmp_path / "table.parquet", rows, Sample)
    assert read_rows(tmp_path / "table.parquet", Sample) == rows


def test_write_rows_writes_the_bytes_of_pyarrow(tmp_path: Path) -> None:
    write_rows(tmp_path / "table.parquet", ROWS, Sample)
    pq.write_table(pa.Table.from_pylist([vars(row) for row in ROWS], schema=SCHEMA), tmp_path / "expected.parquet")
    assert (tmp_path / "table.parquet").read_bytes() == (tmp_path / "expected.parquet").read_bytes()


def test_write_rows_refuses_other_rows_and_empty_cells(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Part"):
        write_rows(tmp_path / "table.parquet", [Part(None, "v_a")], Sample)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="video"):
        write_rows(tmp_path / "table.parquet", [Part("why", None)], Part)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_read_columns_returns_some_columns_of_a_larger_table(tmp_path: Path) -> None:
    write_rows(tmp_path / "table.parquet", ROWS, Sample)
    assert read_columns(tmp_path / "table.parquet", Part) == [Part(None, "v_a"), Part("cut_short", "v_ü")]


def test_read_rows_names_the_file_and_the_column(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    for reader in (read_rows, read_columns):
        with pytest.raises(PipelineError, match=r"table\.parquet: no such table"):
            reader(path, Part)
        path.write_bytes(b"PAR1 or not")
        with pytest.raises(PipelineError, match=r"table\.parquet: not a readable Parquet table"):
            reader(path, Part)
        path.unlink()
    pq.write_table(pa.table({"video": ["v_a"]}), path)
    with pytest.raises(PipelineError, match=r"table\.parquet: .*\['video'\].*\['reason', 'video'\]"):
        read_rows(path, Part)
    with pytest.raises(PipelineError, match=r"table\.parquet: has no column reason, only video"):
        read_columns(path, Part)
    pq.write_table(pa.table({"reason": [1], "video": ["v_a"]}), path)
    with pytest.raises(PipelineError, match=r"table\.parquet: column reason is int64, expected string"):
        read_rows(path, Part)
    pq.write_table(pa.table({"reason": ["why"], "video": pa.array([None], pa.string())}), path)
    for reader in (read_rows, read_columns):
        with pytest.raises(PipelineError, match=r"table\.parquet: column video has empty cells"):
            reader(path, Part)
