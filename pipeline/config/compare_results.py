"""Section `compare_results`: named studies, which put numbers of result files into tables beside published ones."""

import re
from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section

DATASET_FIELD, ROW_FIELD = "{dataset}", "{row}"
"""What a file or a path may contain: the name of each dataset, and the name of the row."""

_FILE = re.compile(r"results/\{dataset\}[/_][^{}]+\.json")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@-]*")


class TableColumn(Section):
    """A column of a table: one number of each row's result file."""

    title: str = Field(min_length=1, description="title; `published` and `paths` name the column by it")
    path: str = Field(
        min_length=1,
        description="where the number is in the result file: keys, separated by /; {row} is the name of the row",
    )
    scale: float = Field(1.0, gt=0, description="factor of the number: 100 for points of 100")
    digits: int = Field(1, ge=0, le=6, description="digits after the point")


class TableRow(Section):
    """A row of a table: what was measured, and where."""

    name: str = Field(description="name in the result, and what {row} stands for")
    label: str | None = Field(None, description="title in the document and the picture; null: the name")
    file: str | None = Field(None, description="result file of this row; null: that of the table")
    paths: dict[str, str | None] = Field(
        {}, description="title of a column -> path that replaces the column's; null: the row has no such number"
    )
    computed: bool = Field(True, description="whether there is a result file; false: only published numbers")
    published: dict[str, dict[str, float]] = Field(
        {}, description="source -> title of a column -> published number, in the units of the table"
    )

    @property
    def title(self) -> str:
        """Name in the document and the picture."""
        return self.label or self.name

    def path_of(self, column: TableColumn) -> str | None:
        """Return where the number of a column is in the row's file; None if the row has no such number."""
        path = self.paths.get(column.title, column.path)
        return None if path is None else path.replace(ROW_FIELD, self.name)


class RowPair(Section):
    """Two rows whose difference is reported."""

    row: str = Field(description="a row")
    compared_to: str = Field(description="another row, whose numbers are subtracted")


class ResultsTable(Section):
    """A table: rows of result files, columns of numbers in them."""

    title: str = Field(min_length=1, description="title: which table of which paper")
    file: str | None = Field(
        None,
        description="result file of the rows without a file of their own, as a target of snakemake: "
        "results/{dataset}_... or results/{dataset}/...; {row} is the name of the row",
    )
    columns: list[TableColumn] = Field(min_length=1, description="columns")
    rows: list[TableRow] = Field(min_length=1, description="rows")
    pairs: list[RowPair] = Field([], description="pairs of rows whose differences are reported")

    @model_validator(mode="after")
    def _check_rows(self) -> Self:
        where, titles = f"table {self.title!r}", [column.title for column in self.columns]
        _check_unique(f"{where}: columns", titles)
        _check_unique(f"{where}: rows", [row.name for row in self.rows])
        for row in self.rows:
            key = f"{where}, row {row.name!r}"
            if not _NAME.fullmatch(row.name):
                raise ValueError(f"{key}: a name has letters, digits and _ . / @ -")
            for title in [*row.paths, *(title for numbers in row.published.values() for title in numbers)]:
                if title not in titles:
                    raise ValueError(f"{key}: there is no column {title!r}, only {', '.join(titles)}")
            if row.computed:
                self._check_file(key, row)
            elif not row.published:
                raise ValueError(f"{key}: neither computed nor published")
        return self

    def _check_file(self, key: str, row: TableRow) -> None:
        """Check the file and the paths of a row."""
        file = row.file or self.file
        if file is None:
            raise ValueError(f"{key}: neither the row nor the table has a file")
        if not _FILE.fullmatch(file.replace(ROW_FIELD, row.name)):
            raise ValueError(f"{key}: file {file!r} is not results/{{dataset}}_... or results/{{dataset}}/..., .json")
        for path in filter(None, map(row.path_of, self.columns)):
            if not all(path.split("/")) or "{" in path:
                raise ValueError(f"{key}: path {path!r} is not keys separated by /")

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        names = [row.name for row in self.rows]
        for pair in self.pairs:
            for name in (pair.row, pair.compared_to):
                if name not in names:
                    raise ValueError(f"table {self.title!r}, pairs: there is no row {name!r}, only {', '.join(names)}")
        return self

    def result_file(self, row: TableRow, dataset: str) -> str:
        """Return the result file of a computed row of a dataset, relative to the project."""
        return (row.file or self.file or "").replace(ROW_FIELD, row.name).replace(DATASET_FIELD, dataset)


class ResultsStudy(Section):
    """One study: tables of numbers of result files."""

    # Not every dataset has a study.
    TARGET = "results/democlips_attributes.json"

    title: str = Field(min_length=1, description="title of the document")
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        [],
        description="seeds of the synthetic datasets `<dataset>_s<seed>` to average over; empty: the dataset itself",
    )
    tables: list[ResultsTable] = Field(min_length=1, description="tables, in the order of the document")

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        _check_unique("seeds", self.seeds)
        _check_unique("tables", [table.title for table in self.tables])
        return self

    def datasets(self, dataset: str) -> list[str]:
        """Return the datasets of the study: those of the seeds, or the dataset itself."""
        return [f"{dataset}_s{seed}" for seed in self.seeds] or [dataset]

    def result_files(self, dataset: str) -> list[str]:
        """Return all result files that the study reads, each once, relative to the project."""
        files = [
            table.result_file(row, name)
            for name in self.datasets(dataset)
            for table in self.tables
            for row in table.rows
            if row.computed
        ]
        return list(dict.fromkeys(files))


def _check_unique(key: str, values: list[str] | list[int]) -> None:
    """Check that no value occurs twice.

    Raises:
        ValueError: one does.
    """
    if len(set(values)) < len(values):
        raise ValueError(f"{key} lists one twice: {', '.join(map(str, values))}")
