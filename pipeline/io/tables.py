"""Parquet tables whose rows are frozen dataclasses, written atomically and checked when read.

The annotations of the dataclass are the schema of the file: `str`, `int` (int64), `float` (float64), `bool`, each of
them `| None` where a cell may be empty, and `Annotated[int, pa.int32()]` where the file has another type.
"""

import types
import typing
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import PipelineError
from pipeline.io.atomic import replace_atomically

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RowT = TypeVar("RowT", bound="DataclassInstance")

_ARROW_TYPES: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def schema_of(row_type: "type[DataclassInstance]") -> pa.Schema:
    """Return the Arrow schema of a dataclass: one nullable column for each field, in the order of the fields.

    Raises:
        TypeError: an annotation has no Arrow type.
    """
    return pa.schema([(name, arrow_type) for name, (arrow_type, _) in _columns(row_type).items()])


def write_rows(path: Path, rows: Iterable[RowT], row_type: type[RowT]) -> None:
    """Write rows as Parquet.

    Args:
        path: the file.
        rows: in the order of the file.
        row_type: their dataclass, which is the schema of an empty table too.

    Raises:
        TypeError: a row is of another class.
        ValueError: a cell is empty whose annotation is not `| None`.
        PipelineError: the file cannot be written.
    """
    listed = list(rows)
    for row in listed:
        if type(row) is not row_type:
            raise TypeError(f"{path}: a row is a {type(row).__name__}, expected a {row_type.__name__}")
    schema = schema_of(row_type)
    cells = {name: pa.array([getattr(row, name) for row in listed], schema.field(name).type) for name in schema.names}
    table = pa.table(cells, schema=schema)
    if empty := _empty_column(table, row_type):
        raise ValueError(f"{path}: column {empty} has empty cells")
    with replace_atomically(path) as temporary:
        pq.write_table(table, temporary)


def read_rows(path: Path, row_type: type[RowT]) -> list[RowT]:
    """Read all rows of a table that has exactly the columns of `row_type`.

    Raises:
        PipelineError: the file is absent, is not Parquet, has other columns or an empty cell where none may be; names
            the file and the column.
    """
    schema = schema_of(row_type)
    present = _read_schema(path)
    if not present.equals(schema):
        raise PipelineError(f"{path}: {_difference(present, schema)}; was it written by another program?")
    return _read(path, row_type)


def read_columns(path: Path, row_type: type[RowT]) -> list[RowT]:
    """Read the columns that `row_type` names, from a table that may have others.

    Raises:
        PipelineError: the file is absent, is not Parquet, lacks a column, or has an empty cell where none may be.
    """
    names = _read_schema(path).names
    missing = [name for name in _columns(row_type) if name not in names]
    if missing:
        raise PipelineError(f"{path}: has no column {missing[0]}, only {', '.join(names)}")
    return _read(path, row_type)


def _read_schema(path: Path) -> pa.Schema:
    if not path.is_file():
        raise PipelineError(f"{path}: no such table")
    try:
        return pq.read_schema(path)
    except pa.ArrowException as error:
        raise PipelineError(f"{path}: not a readable Parquet table ({error})") from None


def _read(path: Path, row_type: type[RowT]) -> list[RowT]:
    names = list(_columns(row_type))
    try:
        table = pq.read_table(path, columns=names)
    except pa.ArrowException as error:
        raise PipelineError(f"{path}: not a readable Parquet table ({error})") from None
    if empty := _empty_column(table, row_type):
        raise PipelineError(f"{path}: column {empty} has empty cells; was it written by another program?")
    return [row_type(*cells) for cells in zip(*(table.column(name).to_pylist() for name in names), strict=True)]


def _empty_column(table: pa.Table, row_type: "type[DataclassInstance]") -> str | None:
    """Return the first column that has empty cells although its annotation allows none."""
    columns = _columns(row_type).items()
    return next((name for name, (_, nullable) in columns if not nullable and table.column(name).null_count), None)


def _difference(present: pa.Schema, expected: pa.Schema) -> str:
    if present.names != expected.names:
        return f"has the columns {present.names}, expected {expected.names}"
    name = next(name for name in expected.names if not present.field(name).equals(expected.field(name)))
    return f"column {name} is {present.field(name).type}, expected {expected.field(name).type}"


@cache
def _columns(row_type: "type[DataclassInstance]") -> dict[str, tuple[pa.DataType, bool]]:
    """Return the Arrow type of each field, and whether its cells may be empty."""
    hints = typing.get_type_hints(row_type, include_extras=True)
    return {field.name: _arrow_type(row_type, field.name, hints[field.name]) for field in fields(row_type)}


def _arrow_type(row_type: type, name: str, annotation: Any) -> tuple[pa.DataType, bool]:
    if typing.get_origin(annotation) in (Union, types.UnionType):
        members = typing.get_args(annotation)
        values = [member for member in members if member is not types.NoneType]
        if len(values) == 1 and len(members) == 2:
            return _arrow_type(row_type, name, values[0])[0], True
    elif typing.get_origin(annotation) is Annotated:
        widths = [extra for extra in annotation.__metadata__ if isinstance(extra, pa.DataType)]
        if len(widths) == 1:
            return widths[0], False
    elif annotation in _ARROW_TYPES:
        return _ARROW_TYPES[annotation], False
    raise TypeError(f"{row_type.__name__}.{name}: {annotation} has no Arrow type")
