"""What tests measure and print together after all tests, from all worker processes."""

from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]


class Measurements:
    """Lines, and tables of rows, that are printed after all tests."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tables: dict[str, list[Row]] = {}

    def append(self, line: str) -> None:
        """Add a line."""
        self.lines.append(line)

    def add_row(self, table: str, **row: str | int | float) -> None:
        """Add a row to a table; integers are summed in its last row."""
        self.tables.setdefault(table, []).append(row)

    def dump(self) -> dict[str, Any]:
        """Return plain data, which a worker process can send."""
        return {"lines": self.lines, "tables": self.tables}

    def merge(self, data: dict[str, Any]) -> None:
        """Add the measurements of a worker process."""
        self.lines += data["lines"]
        for table, rows in data["tables"].items():
            self.tables.setdefault(table, []).extend(rows)

    def format(self) -> list[str]:
        """Return the lines to print, tables last."""
        return [*self.lines, *(line for table in self.tables.items() for line in format_table(*table))]


def format_table(title: str, rows: list[Row]) -> list[str]:
    """Return the lines of a table: a header, the rows sorted by their first cell, and the sums of integers."""
    names = list(rows[0])
    cells = sorted([format_cell(row[name]) for name in names] for row in rows)
    sums = [sum_column(row[name] for row in rows) for name in names]
    cells.append(["all", *sums[1:]])
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) if position else cell.ljust(width) for position, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in [names, *cells])
    ]
    return [f"{title}:", *lines]


def format_cell(value: str | int | float) -> str:
    """Return a value as text; numbers that are not whole have one decimal."""
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def sum_column(values: Iterable[Any]) -> str:
    """Return the sum of whole numbers as text, empty for other values."""
    numbers = list(values)
    return str(sum(numbers)) if all(isinstance(number, int) for number in numbers) else ""
