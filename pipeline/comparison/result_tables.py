"""Tables of numbers of result files: the mean over seeds, its interval, and differences of rows."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.compare_results import ResultsStudy, ResultsTable, TableColumn, TableRow
from pipeline.errors import PipelineError
from pipeline.evaluation.student_t import mean_interval
from pipeline.io.atomic import read_json
from pipeline.io.progress import Progress

BySeed = dict[str, list[float]]
"""Column -> number of each dataset; columns in which a row has no number are absent."""


def list_result_files(results: Path, config: ResultsStudy) -> list[Path]:
    """Return the result files that a study reads.

    Args:
        results: `results/<dataset>`; files of other seeds are beside it.
        config: the study.
    """
    return [locate_result(results, file) for file in config.result_files(results.name)]


def locate_result(results: Path, file: str) -> Path:
    """Return where a result file is; `results/` in its name is the folder that `results` is in."""
    return results.parent / file.removeprefix("results/")


def compute_result_tables(results: Path, config: ResultsStudy) -> dict[str, Any]:
    """Read the numbers of all rows, and compute means over the datasets and differences of rows.

    Args:
        results: `results/<dataset>`.
        config: the study.

    Returns:
        `title`, `seeds`, `datasets`, and `tables`. Each table has its `title`, its `columns`, its `rows` and the
        `differences` of its pairs. `values` of a row or difference: column -> `mean` over the datasets, `by_seed` and,
        of several datasets, the 95 % t `interval`; `published`: source -> column -> number. All numbers are in the
        units of the table, after `scale`.

    Raises:
        PipelineError: a result file is absent, or has no number where a row needs one.
    """
    datasets = config.datasets(results.name)
    files = list_result_files(results, config)
    progress = Progress("result files", len(files))
    contents = {}
    for path in files:
        contents[path] = read_json(path, "result file")
        progress.step()
    return {
        "title": config.title,
        "seeds": config.seeds,
        "datasets": datasets,
        "tables": [
            _compute_table(
                table,
                {row.name: _read_row(table, row, datasets, results, contents) for row in table.rows if row.computed},
            )
            for table in config.tables
        ],
    }


def _compute_table(table: ResultsTable, by_row: Mapping[str, BySeed]) -> dict[str, Any]:
    rows = {row.name: row for row in table.rows}
    return {
        "title": table.title,
        "columns": [{"title": column.title, "digits": column.digits} for column in table.columns],
        "rows": [
            {
                "name": row.name,
                "label": row.title,
                "values": _summarise(by_row.get(row.name, {})),
                "published": row.published,
            }
            for row in table.rows
        ],
        "differences": [
            {
                "row": pair.row,
                "compared_to": pair.compared_to,
                "values": _summarise(_subtract(by_row.get(pair.row, {}), by_row.get(pair.compared_to, {}))),
                "published": _subtract_published(rows[pair.row], rows[pair.compared_to]),
            }
            for pair in table.pairs
        ],
    }


def _read_row(
    table: ResultsTable, row: TableRow, datasets: Sequence[str], results: Path, contents: Mapping[Path, Any]
) -> BySeed:
    """Return the numbers of a row in the units of the table."""
    numbers: BySeed = {}
    for column in table.columns:
        if row.path_of(column) is not None:
            paths = [locate_result(results, table.result_file(row, dataset)) for dataset in datasets]
            numbers[column.title] = [_read_number(table, row, column, path, contents[path]) for path in paths]
    return numbers


def _read_number(table: ResultsTable, row: TableRow, column: TableColumn, file: Path, content: Any) -> float:
    """Return one number of a result file, in the units of the table.

    Raises:
        PipelineError: the file has no such key, or something else than a finite number there.
    """
    path = row.path_of(column) or ""
    where = f"{file}: row {row.name!r}, column {column.title!r} of table {table.title!r}"
    value = content
    for key in path.split("/"):
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            keys = f"only {', '.join(value)}" if isinstance(value, dict) else f"in {_describe(value)}"
            raise PipelineError(f"{where}: {path!r} is missing in the file: no key {key!r}, {keys}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise PipelineError(f"{where}: {path!r} is {_describe(value)}, not a finite number")
    return column.scale * value


def _describe(value: Any) -> str:
    """Describe a value of a JSON file in few words."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    return repr(value)


def _summarise(numbers: BySeed) -> dict[str, dict[str, Any]]:
    """Return mean, number of each dataset and, of several datasets, the interval of each column."""
    summary: dict[str, dict[str, Any]] = {}
    for column, values in numbers.items():
        interval = mean_interval(values)
        summary[column] = {
            "mean": math.fsum(values) / len(values),
            "by_seed": values,
            **({} if interval is None else {"interval": interval}),
        }
    return summary


def _subtract(numbers: BySeed, others: BySeed) -> BySeed:
    """Subtract the numbers of another row, dataset by dataset, in the columns that both have."""
    return {
        column: [value - other for value, other in zip(values, others[column], strict=True)]
        for column, values in numbers.items()
        if column in others
    }


def _subtract_published(row: TableRow, other: TableRow) -> dict[str, dict[str, float]]:
    """Subtract the published numbers of another row where one source has both."""
    differences = {
        source: {
            column: value - other.published[source][column]
            for column, value in numbers.items()
            if column in other.published.get(source, {})
        }
        for source, numbers in row.published.items()
    }
    return {source: numbers for source, numbers in differences.items() if numbers}
