"""Print a short table of the scores of a dataset, as `make demo` does at its end.

python -m workflow.scripts.print_scores results/demo_test_meteor.json
"""

from pathlib import Path

from pipeline.config.command import build_parser, command
from pipeline.io.atomic import read_json
from pipeline.report.tables import score_rows

COLUMNS = {"METEOR mean": "METEOR", "CIDEr": "CIDEr", "SODA_c": "SODA_c", "recall": "recall"}
"""Column of the report -> its head in the short table."""


@command
def main(argv: list[str] | None = None) -> int:
    """Command line: the file of scores."""
    arguments = build_parser(__doc__, prog="python -m workflow.scripts.print_scores")
    arguments.add_argument("scores", type=Path, help="result of a dataset: results/<dataset>_<split>_meteor.json")
    args = arguments.parse_args(argv)
    rows = score_rows(read_json(args.scores, "scores"))
    width = max(len(row["name"]) for row in rows)
    print("x 100".ljust(width) + "".join(f"{head:>8}" for head in COLUMNS.values()))
    for row in rows:
        values = [row["values"].get(column) for column in COLUMNS]
        cells = ["" if value is None else f"{value:.2f}" for value in values]
        print(row["name"].ljust(width) + "".join(f"{cell:>8}" for cell in cells))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
