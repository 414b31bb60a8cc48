"""Figures in documents: each names its record; a record is of today's code and settings; tables hold its numbers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.figures import find_figures, read_figures

from pipeline.errors import PipelineError
from pipeline.io.atomic import write_json
from pipeline.provenance.code_hash import code_hash
from pipeline.provenance.record import record_path, write_record
from workflow.scripts import figure_records, figures
from workflow.scripts.claims_table import find_value, format_difference, judge
from workflow.scripts.figure_records import (
    Equal,
    ResultRecord,
    SpeedRecord,
    find_result_changes,
    find_speed_changes,
    find_stale,
    hash_modules,
    read_records,
    settings_of_output,
)
from workflow.scripts.figures import collect_stages, copy_result, declare_equal

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "benchmarks").glob("*.md"))]
KINDS = ("settings", "published", "estimate", "example")
"""Sources that are no record: values that somebody chose, numbers of papers, calculations, made-up examples."""
OUTPUT = "results/demo_s5/captioners/combined/0/xe/manifest.json"
STAGE = "train_captioner"


def test_every_figure_names_its_source() -> None:
    records = read_records()
    measured = [name for name, record in records.results.items() if (ROOT / record.file).is_file()]
    names = {*measured, *records.speeds, *KINDS}
    unnamed = []
    for path in DOCUMENTS:
        for figure in read_figures(path):
            sources = [source.partition(" (")[0] for source in figure.sources]
            if not sources or not all(source in names or (ROOT / source).is_file() for source in sources):
                unnamed.append(f"{path.relative_to(ROOT)}:{figure.line}: {figure.text}")
    assert unnamed == []


def test_no_record_is_stale() -> None:
    stale = find_stale()
    assert not stale, "\n" + "\n".join("\n    ".join([f"{name}:", *lines]) for name, lines in stale.items())


def test_documents_say_which_figures_are_of_older_code() -> None:
    records = read_records()
    older = {name for name, record in records.results.items() if record.older}
    unmarked = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in DOCUMENTS
        for name in older & {source for figure in read_figures(path) for source in figure.sources}
        if path.name == "README.md" or "**Stale:**" not in path.read_text(encoding="utf-8")
    ]
    table = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for line in table.splitlines():
        script = re.match(r"\| `(\w+\.py)", line)
        if script and bool(records.speeds[script[1]].older) != line.endswith("; older code |"):
            unmarked.append(line)
    assert unmarked == []


def numbers(data: Any) -> Iterator[float]:
    """Yield all numbers of plain data."""
    if isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from numbers(value)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        yield float(data)


def test_tables_hold_numbers_of_their_record() -> None:
    records = read_records().results
    values = {
        name: {data * scale for data in numbers(json.loads((ROOT / record.file).read_text())) for scale in (1, 100)}
        for name, record in records.items()
        if (ROOT / record.file).is_file()
    }
    wrong = [
        f"{path.relative_to(ROOT)}:{figure.line}: {figure.text}"
        for path in DOCUMENTS
        for figure in read_figures(path)
        if figure.in_table and len(figure.sources) == 1 and (of_record := values.get(figure.sources[0]))
        if not is_rounded(figure.text, of_record)
    ]
    assert wrong == []


def is_rounded(text: str, values: set[float]) -> bool:
    """Return whether a number as written is one of the values, rounded."""
    number, digits = float(text.replace(",", "").replace("\N{MINUS SIGN}", "-")), len(text.partition(".")[2])
    return any(abs(value - number) <= 0.5 * 10**-digits + 1e-9 for value in values)


def test_is_rounded_compares_as_many_digits_as_are_written() -> None:
    values = {27.449, -0.25, 2990.0}
    texts = ("27.4", "27.5", "27.45", "27.46", "\N{MINUS SIGN}0.2", "+0.2", "2,990")
    assert [is_rounded(text, values) for text in texts] == [True, False, True, False, True, False, True]


def test_every_script_of_benchmarks_has_a_record_of_its_speed() -> None:
    table = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    scripts = set(re.findall(r"^\| `(\w+\.py)", table, flags=re.MULTILINE))
    assert scripts == read_records().speeds.keys()


def test_a_figure_takes_the_source_of_its_section_or_of_a_section_around_it() -> None:
    text = """\
# Title
<!-- figures: settings -->
1.5 in `2.5`, [3](4.5.md), Table 2.3, Python 3.11

    6.5 s

## One
<!-- figures: demo -->
METEOR 27.45 and 10 %, 3 times
### Deeper
| -2.5 | +3.5 (8 s) |
## Two
7.5, 20 pixels, 14,800 videos, v1.2.3
"""
    assert [(figure.line, figure.text, figure.in_table, figure.sources) for figure in find_figures(text)] == [
        (3, "1.5", False, ("settings",)),
        (9, "27.45", False, ("demo",)),
        (9, "10", False, ("demo",)),
        (9, "3", False, ("demo",)),
        (11, "-2.5", True, ("demo",)),
        (11, "+3.5", True, ("demo",)),
        (11, "8", True, ("demo",)),
        (13, "7.5", False, ("settings",)),
    ]
    assert [figure.sources for figure in find_figures("1.5\n<!-- figures: a; b -->\n1.5")] == [(), ("a", "b")]


def record_of_today() -> dict[str, Any]:
    """Return a record of one captioner as it would be made today."""
    section = settings_of_output(STAGE, OUTPUT)
    assert section is not None
    return {"stages": {STAGE: [version(section.result_settings())]}}


def version(config: dict[str, Any]) -> dict[str, Any]:
    """Return how today's code made the output with some settings."""
    return {"code": code_hash(f"pipeline.{STAGE}"), "config": config, "outputs": [OUTPUT]}


def entry(equal: dict[str, Equal] | None = None) -> ResultRecord:
    """Return the entry of a record in docs/figures.yaml."""
    return ResultRecord(file="docs/x.json", result="results/x.json", duration="1 minute", equal=equal or {})


def test_a_changed_setting_makes_a_record_stale_unless_it_is_declared_equal() -> None:
    assert find_result_changes(entry(), record_of_today()) == []
    data = record_of_today()
    [recorded] = data["stages"][STAGE]
    recorded["config"] |= {"epochs": recorded["config"]["epochs"] + 1, "workers": 99}
    [change] = find_result_changes(entry(), data)
    assert "train_captioner: setting epochs:" in change
    assert find_result_changes(entry({STAGE: Equal(settings={"epochs": "a reason"})}), data) == []
    recorded["config"] = {}
    assert len(find_result_changes(entry(), data)) > 1, "a default of today may change the result"


def test_changed_code_makes_a_record_stale_unless_todays_is_declared_equal() -> None:
    data = record_of_today()
    data["stages"][STAGE][0]["code"] = "0" * 16
    [change] = find_result_changes(entry(), data)
    today = code_hash(f"pipeline.{STAGE}")
    assert "train_captioner: code" in change
    assert today in change
    assert find_result_changes(entry({STAGE: Equal(code={today: "a reason"})}), data) == []
    assert find_result_changes(entry({STAGE: Equal(code={"1" * 16: "of another change"})}), data) == [change]


def test_a_stage_or_an_output_that_is_gone_makes_a_record_stale() -> None:
    data = {"stages": {"no_such_stage": [version({})]}}
    assert "no_such_stage" in find_result_changes(entry(), data)[0]
    data = record_of_today()
    data["stages"][STAGE][0]["outputs"] = [OUTPUT.replace("combined", "no_such_captioner")]
    assert "no_such_captioner" in find_result_changes(entry(), data)[0]


@pytest.mark.parametrize(
    ("stage", "output", "key"),
    [
        ("make_demo", "results/demo_s5/source/manifest.json", "train_videos"),
        ("compare_systems", "results/demo_pretraining.json", "systems"),
        ("generate_captions", "results/demo_s5/captions/enlarged-0-xe-test-gt.json", "beam"),
        ("select_captions", "results/demo_s5/captions/ensemble_of_five-test-gt.json", "members"),
        ("evaluate", "results/demo_test_meteor.json", "bootstrap"),
        ("evaluate_clips", "results/democlips_s5_test_captions-arb-0.json", "meteor"),
        ("evaluate_recognition", "results/demoacts_s5_test_recognition-fine_2d.json", "cutoff"),
    ],
)
def test_settings_of_output_are_those_that_the_rule_passes(stage: str, output: str, key: str) -> None:
    section = settings_of_output(stage, output)
    assert section is not None
    assert key in section.result_settings()


def test_an_ensemble_of_a_comparison_has_its_own_members() -> None:
    ensembles = [
        settings_of_output("select_captions", f"results/demo/captions/{name}-test-gt.json")
        for name in ("ensemble", "ensemble_of_five", "no_such_ensemble")
    ]
    assert ensembles[0] is not None
    assert ensembles[1] is not None
    assert ensembles[0] != ensembles[1]
    assert ensembles[2] is None


def test_collect_stages_keeps_distinct_settings_and_no_settings_of_the_machine() -> None:
    section = settings_of_output(STAGE, OUTPUT)
    assert section is not None
    summary = {"stage": STAGE, "code": "a", "config_digest": "b", "config": section.model_dump(mode="json")}
    summaries = {"results/x": summary, "results/y": summary, "results/z": summary | {"config_digest": "c"}, "raw": {}}
    [first, second] = collect_stages(summaries)[STAGE]
    assert (first["outputs"], second["outputs"]) == (["results/x", "results/y"], ["results/z"])
    assert first["config"] == section.result_settings()


def test_copy_result_keeps_how_it_was_made_and_refuses_results_of_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    result = Path("results", "demo_test_meteor.json")
    section = settings_of_output("evaluate", result.as_posix())
    assert section is not None
    record = ResultRecord(file="docs/x.json", result=result.as_posix(), duration="1 minute")
    with pytest.raises(PipelineError, match=r"demo_test_meteor\.json"):
        copy_result(record)
    write_json(result, {"METEOR": 0.25, "per_video": {"v": 1}})
    write_record(result, "evaluate", section, [])
    (tmp_path / "docs").mkdir()
    copy_result(record)
    copied = json.loads((tmp_path / "docs" / "x.json").read_text())
    assert copied["METEOR"] == 0.25
    assert "per_video" not in copied
    assert copied["stages"]["evaluate"][0]["outputs"] == [result.as_posix()]
    assert find_result_changes(record, copied) == []
    provenance = json.loads(record_path(result).read_text())
    write_json(record_path(result), {**provenance, "code": "0" * 16})
    with pytest.raises(PipelineError, match="0000"):
        copy_result(record)


def test_a_speed_is_stale_if_the_modules_that_it_times_have_changed() -> None:
    speed = SpeedRecord.parse({"measured": "2026-11-27", "modules": ["pipeline.threads"], "code": "a"}, "")
    today = hash_modules(["pipeline.threads"])
    assert today in find_speed_changes(speed)[0]
    assert find_speed_changes(speed.model_copy(update={"code": today})) == []
    assert find_speed_changes(speed.model_copy(update={"equal": {today: "a reason"}})) == []
    assert hash_modules(["pipeline.threads", "pipeline.io"]) != today
    with pytest.raises(PipelineError, match=r"pipeline\.no_such_module"):
        hash_modules(["pipeline.no_such_module"])


def test_a_stale_record_passes_only_if_it_is_declared_older_and_a_current_one_may_not_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = read_records()
    name, speed = next(iter(records.speeds.items()))
    today = hash_modules(speed.modules)
    monkeypatch.setattr(figure_records, "read_records", lambda: records)

    def is_listed(code: str, older: str | None) -> bool:
        records.speeds[name] = speed.model_copy(update={"code": code, "equal": {}, "older": older})
        return name in find_stale()

    assert [is_listed("a", None), is_listed("a", "a reason")] == [True, False]
    assert [is_listed(today, None), is_listed(today, "a reason")] == [False, True]


def test_declare_equal_makes_a_record_current() -> None:
    records = read_records()
    name, speed = next(iter(records.speeds.items()))
    records.speeds[name] = speed.model_copy(update={"code": "a", "equal": {}})
    assert find_speed_changes(records.speeds[name])
    declare_equal(records, name, "a reason")
    assert find_speed_changes(records.speeds[name]) == []
    with pytest.raises(PipelineError, match="pretrainin"):
        declare_equal(records, "pretrainin", "a reason")


def test_find_value_selects_rows_of_lists() -> None:
    rows = [{"system": "a", "gt": {"METEOR": 1}}, {"system": "b", "seed": 3, "gt": {"METEOR": 2}}]
    assert find_value({"rows": rows}, "rows/[system=b,seed=3]/gt/METEOR") == 2
    assert find_value({"rows": rows}, "rows/1/gt/METEOR") == 2
    for path in ("rows/[system=c]/gt", "rows/[system=a]/no_metric", "rows/2", "no_rows"):
        with pytest.raises(PipelineError, match=r"claims\.yaml: no "):
            find_value({"rows": rows}, path)


def test_a_claim_shows_if_the_interval_of_the_difference_is_above_zero() -> None:
    assert judge(0.02, [0.01, 0.03]) == "yes"
    assert judge(0.02, [-0.01, 0.05]) == judge(0.02, None) == "unclear"
    assert judge(-0.02, [-0.05, 0.01]) == judge(-0.02, [-0.03, -0.01]) == "no"
    assert format_difference(0.027, [-0.0041, 0.05], 100) == "+2.7 (-0.4 to +5.0)"
    assert format_difference(1.96, None, 1) == "+2.0"
