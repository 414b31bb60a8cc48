"""Parquet tables with a fixed schema, written atomically and checked when read."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import PipelineError
from pipeline.io.atomic import replacing


def write_table(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows (dicts with exactly the schema's columns) as Parquet."""
    for row in rows:
        if row.keys() != set(schema.names):
            raise ValueError(f"{path}: row {row} does not have the columns {schema.names}")
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary)


def read_table(path: Path, schema: pa.Schema) -> list[dict[str, Any]]:
    """Read all rows.

    Raises:
        PipelineError: absent, not Parquet, or with other columns than `schema`.
    """
    if not path.is_file():
        raise PipelineError(f"{path}: no such table")
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise PipelineError(f"{path}: not a readable Parquet table ({error})") from None
    if not table.schema.equals(schema):
        raise PipelineError(f"{path}: has the columns {table.schema.names}, expected {schema.names}; made elsewhere?")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def read_columns(path: Path, names: list[str]) -> list[dict[str, Any]]:
    """Read some columns of a table, whatever others it has.

    Raises:
        PipelineError: absent, not Parquet, or without one of the columns.
    """
    if not path.is_file():
        raise PipelineError(f"{path}: no such table")
    try:
        there = pq.read_schema(path).names
        missing = [name for name in names if name not in there]
        if missing:
            raise PipelineError(f"{path}: has no column {missing[0]}, only {', '.join(there)}")
        rows: list[dict[str, Any]] = pq.read_table(path, columns=names).to_pylist()
    except pa.ArrowException as error:
        raise PipelineError(f"{path}: not a readable Parquet table ({error})") from None
    return rows
