"""Renew the figures of documents: copy results with their code hashes and settings, or declare a change harmless.

    make figures                                                  # run the cheap ones and copy them
    make figures RECORDS="pretraining ablation"                   # run these studies and copy them
    python -m workflow.scripts.figures stale                      # which figures are stale, and why
    python -m workflow.scripts.figures equal pretraining --reason "..."    # today's code computes the same numbers
    python -m workflow.scripts.figures measured bmn.py            # benchmarks/README.md has today's numbers

In: docs/figures.yaml, and the results with their provenance.
Out: the files of the records and docs/figures.yaml.
"""

import argparse
import datetime
import shutil
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.command import build_parser, command
from pipeline.errors import PipelineError, nearest
from pipeline.io.atomic import read_json, write_json, write_text
from pipeline.provenance.code_hash import current_code
from pipeline.provenance.settings import result_settings
from pipeline.provenance.trace import summarize_provenance
from workflow.scripts.figure_records import (
    RECORDS,
    STAGES,
    FigureRecords,
    ResultRecord,
    find_result_changes,
    find_stale,
    hash_modules,
    read_records,
)
from workflow.scripts.rule_files import ROOT

LEFT_OUT = ("per_video", "provenance", "artifacts", "config_digests", "code_hashes", "trained")
"""Keys of a result that its record does not repeat."""
HEAD = """\
# The records of the figures in README.md, docs/ and benchmarks/README.md. A document names a record in a comment,
# `<!-- figures: NAME -->`. CONTRIBUTING.md ("Figures in documents") says how to renew a record.
"""


def copy_result(record: ResultRecord) -> None:
    """Copy a result and its pictures into the repository, with the code hashes and settings of all stages behind it.

    Raises:
        PipelineError: the result is missing, or its files or the code have changed since it was made.
    """
    path = Path(record.result)
    summaries = summarize_provenance([path]) if path.is_file() else {}
    if "stage" not in summaries.get(path.as_posix(), {}):
        raise PipelineError(f"{path}: no result with a provenance record; run: snakemake --cores 2 {path}")
    for output, summary in summaries.items():
        if changed := summary.get("inputs_changed_since"):
            raise PipelineError(f"{output}: its inputs have changed since: {', '.join(changed)}; run snakemake again")
    result = {key: value for key, value in read_json(path, "result").items() if key not in LEFT_OUT}
    data = {"result": record.result, **result, STAGES: collect_stages(summaries)}
    if changes := find_result_changes(record, data):
        raise PipelineError(f"{path} is not of today's code and settings ({changes[0]}); run snakemake again")
    write_json(ROOT / record.file, data)
    for picture, copy in record.pictures.items():
        shutil.copyfile(picture, ROOT / copy)


def collect_stages(summaries: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return stage -> each distinct code hash and settings, with the outputs; from summaries of provenance."""
    stages: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for output, summary in summaries.items():
        if "stage" in summary:
            stage = summary["stage"]
            version = {"code": summary["code"], "config": result_settings(stage, summary["config"]), "outputs": []}
            key = summary["code"], summary["config_digest"]
            stages.setdefault(stage, {}).setdefault(key, version)["outputs"].append(output)
    return {stage: list(versions.values()) for stage, versions in sorted(stages.items())}


def declare_equal(records: FigureRecords, name: str, reason: str) -> None:
    """Add to a record that today's code computes the same: all code hashes that differ from the recorded ones.

    Raises:
        PipelineError: there is no such record, or a setting changed, which has to be declared by hand.
    """
    if speed := records.speeds.get(name):
        speed.equal[hash_modules(speed.modules)] = reason
        return
    record = records.result_record(name)
    versions = read_json(ROOT / record.file, "record")[STAGES]
    update: dict[str, Any] = record.model_dump(mode="json")["equal"]
    for stage in versions:
        present = current_code(stage)
        if present is not None and any(version["code"] != present[0] for version in versions[stage]):
            update.setdefault(stage, {"settings": {}})["code"] = {present[0]: reason}
    records.results[name] = ResultRecord.parse(record.model_dump(mode="json") | {"equal": update}, name)


def write_records(records: FigureRecords) -> None:
    """Write docs/figures.yaml."""
    data = records.model_dump(mode="json", exclude_defaults=True)
    write_text(ROOT / RECORDS, HEAD + yaml.safe_dump(data, sort_keys=False, width=116, allow_unicode=True))


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = build_parser(__doc__, prog="python -m workflow.scripts.figures")
    arguments.add_argument("action", choices=["stale", "targets", "copy", "equal", "measured"])
    arguments.add_argument("names", nargs="*", help="names in docs/figures.yaml")
    arguments.add_argument("--reason", help="equal: why no number changes, and what showed it")
    args: argparse.Namespace = arguments.parse_args(argv)
    records = read_records()
    if args.action == "stale":
        stale = find_stale()
        for name, lines in stale.items():
            print("\n    ".join([f"{name}:", *lines]))
        return int(bool(stale))
    if args.action == "targets":
        print(" ".join(records.result_record(name).result for name in args.names))
        return 0
    if args.action == "equal" and not args.reason:
        raise PipelineError("equal: give --reason")
    for name in args.names:
        if args.action == "copy":
            record = records.result_record(name)
            copy_result(record)
            records.results[name] = record.model_copy(update={"older": None})
        elif args.action == "equal":
            declare_equal(records, name, args.reason)
        elif (speed := records.speeds.get(name)) is None:
            raise PipelineError(f"{RECORDS}: no speed {name!r}{nearest(name, records.speeds)}")
        else:
            update = {"measured": datetime.datetime.now(datetime.UTC).date(), "code": hash_modules(speed.modules)}
            records.speeds[name] = speed.model_copy(update={**update, "equal": {}, "older": None})
    write_records(records)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
