"""docs/recipes.md is followed in a copy of the project: its files, changes and commands, for all parts at once."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from helpers.action_corpus import write_action_corpus
from helpers.caption_corpus import write_caption_corpus
from helpers.evaluation_files import write_captions, write_references
from helpers.video_corpus import SMALL, write_video_corpus
from helpers.video_files import write_video
from helpers.workflow_sandbox import ROOT, copy_project, run_module

from pipeline.datasets.corpus import Corpus
from pipeline.features.store import FeatureStore
from pipeline.localization.proposals import read_proposals

TEXT = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
RECIPES = (
    "metric",
    "metric of a whole video",
    "loss term",
    "extractor",
    "captioner",
    "dataset",
    "proposer",
    "localizer",
    "stage",
)
PART_FILES = 2
"""Files of an exchangeable part, without its test: its module and its registry."""
GENERATED = {
    "config/config.yaml",
    "config/schema.json",
    "config/README.md",
    "docs/annotations.md",
    "docs/architecture.md",
    "docs/captioning.md",
    "docs/evaluation.md",
    "docs/features.md",
    "docs/localization.md",
    "docs/proposals.md",
    "docs/weights.md",
}
"""What `make generate` writes for all parts together, apart from the table of reruns."""
RERUN_TABLE = "tests/workflow/reruns.yaml"
NAMES = (
    *("WordF1", "word_f1", "Distinct", "center", "brightness", "gru", "lines", "actionness", "snippets"),
    "count_labels",
)
"""Names of the parts, in the parameters of tests."""


class Block(NamedTuple):
    """A block of code on the page.

    Attributes:
        kind: `diff` for changes of a file, another word for a new file.
        path: the file.
        text: the changes, or the content.
    """

    kind: str
    path: str
    text: str


def read_section(recipe: str) -> str:
    """Return the text below the heading of a recipe."""
    return re.split(rf"^## Add an? {recipe}$", TEXT, flags=re.MULTILINE)[1].split("\n## ", 1)[0]


def find_blocks(recipe: str) -> list[Block]:
    """Return the blocks of code of a recipe."""
    matches = re.findall(r"^```(\w+)\n# (\S+)\n(.*?)^```$", read_section(recipe), flags=re.MULTILINE | re.DOTALL)
    return [Block(*match) for match in matches]


def find_commands(recipe: str) -> list[list[str]]:
    """Return the command lines of a recipe; a backslash at the end of a line continues it."""
    text = re.sub(r"^```.*?^```$", "", read_section(recipe), flags=re.MULTILINE | re.DOTALL).replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^    (\S.*)$", text, flags=re.MULTILINE)]


def find_command(recipe: str, *start: str) -> list[str]:
    """Return the one command line of a recipe that starts with some words, without these words."""
    [arguments] = [words[len(start) :] for words in find_commands(recipe) if words[: len(start)] == list(start)]
    return arguments


def read_configuration(recipe: str) -> dict[str, Any]:
    """Return the configuration that the text of a recipe shows, sections merged."""
    snippets = re.findall(r"`(\w+: \{.*?\})`", read_section(recipe), flags=re.DOTALL)
    return {key: value for snippet in snippets for key, value in yaml.safe_load(snippet).items()}


def apply_recipe(folder: Path, recipe: str) -> None:
    """Write the new files of a recipe and change the others. The lines before a change must be in the file once."""
    for kind, path, text in find_blocks(recipe):
        file = folder / path
        if kind != "diff":
            assert not file.exists()
            file.write_text(text, encoding="utf-8")
            continue
        for hunk in text.split("@@\n"):
            lines = [(line[:1], line[1:] + "\n") for line in hunk.splitlines()]
            assert {sign for sign, _ in lines} <= {" ", "-", "+"}
            before, after = ("".join(line for sign, line in lines if sign in signs) for signs in (" -", " +"))
            content = file.read_text(encoding="utf-8")
            assert content.count(before) == 1, f"{path}: {before!r}"
            file.write_text(content.replace(before, after), encoding="utf-8")


def run(folder: Path, *words: str) -> str:
    """Run a module of the copy, and return its output."""
    process = run_module(folder, *words)
    assert process.returncode == 0, process.stdout
    return process.stdout


def run_stages(folder: Path, *stages: list[str]) -> None:
    """Run stages of the copy, each with its arguments, in one process."""
    run(folder, "helpers.run_stages", json.dumps(stages))


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the content of all files of a copy by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".snakemake", "results"} & set(path.parts)
    }


class Project(NamedTuple):
    """A copy of the project in which all recipes were followed.

    Attributes:
        folder: the copy.
        written: recipe -> files that are written or changed by hand, new stages apart from their skeleton.
        generated: files that `python -m workflow.scripts.generate --quick` changed.
        printed: what it printed.
    """

    folder: Path
    written: dict[str, set[str]]
    generated: set[str]
    printed: str


def changed_files(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    """Return the paths of the files that differ."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Follow all recipes in one copy, and generate once, without the table of reruns, which takes a minute."""
    folder = copy_project(tmp_path_factory.mktemp("contributing") / "project")
    written = {}
    skeleton = dict(word.split("=", 1) for word in find_command("stage", "make", "new-stage"))
    run(folder, "workflow.scripts.new_stage", skeleton["NAME"], "--does", skeleton["DOES"])
    for recipe in RECIPES:
        before = read_files(folder)
        apply_recipe(folder, recipe)
        written[recipe] = changed_files(before, read_files(folder))
    before = read_files(folder)
    printed = run(folder, "workflow.scripts.generate", "--quick")
    return Project(folder, written, changed_files(before, read_files(folder)), printed)


def test_a_part_is_two_files_and_the_rest_is_generated(project: Project) -> None:
    for recipe in set(RECIPES) - {"dataset", "stage"}:
        assert len([path for path in project.written[recipe] if not path.startswith("tests/")]) == PART_FILES, recipe
    assert project.written["dataset"] - {"config/datasets/mine.yaml"} == {
        "pipeline/config/readers.py",
        "pipeline/datasets/lines.py",
    }
    assert len(project.written["stage"]) == 3, "the module, its settings and its test"
    assert project.generated == GENERATED
    assert {line.removeprefix("changed: ") for line in project.printed.splitlines()} == GENERATED


def test_every_block_and_command_of_the_page_is_tried() -> None:
    assert re.findall(r"^## Add an? (.*)$", TEXT, flags=re.MULTILINE) == list(RECIPES)
    assert TEXT.count("```") == 2 * sum(len(find_blocks(recipe)) for recipe in RECIPES)
    for recipe in RECIPES:
        assert ["make", "generate"] in find_commands(recipe)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target, module in (("new-stage", "new_stage"), ("generate", "generate")):
        assert re.search(
            rf"^{target}: install\n\t\$\(BIN\)/python -m workflow.scripts.{module}\b", makefile, re.MULTILINE
        )
    tried = {"make", "python", "sa-tsp", "snakemake"}
    assert {words[0] for recipe in RECIPES for words in find_commands(recipe)} == tried


def find_tests(recipe: str) -> list[str]:
    """Return the tests that the page names for a recipe."""
    return find_command(recipe, "python", "-m", "pytest")


def test_the_generated_files_are_up_to_date(project: Project) -> None:
    run(project.folder, "workflow.scripts.generate", "--check")


@pytest.mark.campaign
def test_the_table_of_reruns_gets_rows_of_all_parts(project: Project) -> None:
    assert f"changed: {RERUN_TABLE}" in run(project.folder, "workflow.scripts.generate").splitlines()
    table = yaml.safe_load((project.folder / RERUN_TABLE).read_text())
    scoring = ["evaluate_localization", "analyze_localization", "evaluate", "evaluate_clips", "evaluate_recognition"]
    scoring += ["analyze_clips", "write_report", "bundle_model", "compare_systems", "compare_localization"]
    expected = {
        "pipeline.evaluation.word_f1": scoring,
        "pipeline.evaluation.distinct": scoring,
        "pipeline.encoders.center_loss": ["pretrain_encoder"],
        "pipeline.localization.actionness": ["train_proposer", "propose_events"],
        "pipeline.localization.snippets": ["train_localizer", "localize_actions"],
        "pipeline.count_labels": ["count_labels"],
    }
    assert {module: [*table["modules"][module]] for module in expected} == expected
    assert table["settings"]["count_labels.max_labels"] == ["count_labels"]
    assert table["settings"]["pretrain_encoder.sa_tsp.losses.center"] == ["pretrain_encoder"]
    assert table["settings"]["train_localizer.snippets.thresholds"] == ["train_localizer"]


def test_the_new_files_pass_the_checks(project: Project) -> None:
    files = [path for paths in project.written.values() for path in paths if path.endswith(".py")]
    files.append("pipeline/config/load.py")
    run(project.folder, "ruff", "check", "--no-cache", *files)
    run(project.folder, "ruff", "format", "--no-cache", "--check", *files)
    run(project.folder, "snakefmt", "--check", "workflow/rules/study.smk")


@pytest.mark.campaign
def test_the_copy_has_correct_types(project: Project) -> None:
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", project.folder / ".mypy_cache")
    run(project.folder, "mypy")


@pytest.mark.campaign
def test_the_tests_of_the_registries_pass(project: Project) -> None:
    paths = {path for recipe in RECIPES for path in find_tests(recipe)}
    options = ["-q", "-p", "no:cacheprovider", "-k", " or ".join([*NAMES, "conventions"])]
    output = run(project.folder, "pytest", *options, *sorted(paths))
    summary = re.search(r"(\d+) passed", output)
    assert summary
    assert int(summary[1]) > 50, output


def test_a_metric_scores_a_file(project: Project) -> None:
    write_captions(project.folder / "mine.json", {"v_a": [(0.0, 10.0, "A man rides.")] * 2})
    write_references(project.folder / "val_1.json", {"v_a": [(0.0, 10.0, "A man is riding, a man.")]})
    output = run(project.folder, "pipeline.commands", *find_command("metric", "sa-tsp"))
    assert "captions WordF1" in output
    scores = json.loads((project.folder / "scores.json").read_text())
    assert scores["WordF1"]["mean"] == pytest.approx(2 * 1 / (2 + 3)), "words of at least 2 characters"
    assert scores["WordF1"].keys() == {"0.3", "0.5", "0.7", "0.9", "mean"}
    assert scores["per_video"]["WordF1"] == [scores["WordF1"]["mean"]]
    assert "WordF1" in scores["intervals"]
    assert scores["evaluator"]["metric_settings"] == {"WordF1": {"min_length": 2}}
    output = run(project.folder, "pipeline.commands", *find_command("metric of a whole video", "sa-tsp"))
    assert "captions Distinct" in output
    scores = json.loads((project.folder / "distinct.json").read_text())
    assert scores["Distinct"] == {"share": 0.5}
    assert scores["per_video"]["Distinct"] == [0.5]
    assert "Distinct" in scores["intervals"]
    assert "metric_settings" not in scores["evaluator"]


@pytest.mark.campaign
def test_a_loss_term_trains_an_encoder(project: Project) -> None:
    corpus = write_video_corpus(project.folder / "encoder", {"train": 2, "val": 1})
    losses = {"action": 1.0, **read_configuration("loss term")["pretrain_encoder"]["sa_tsp"]["losses"]}
    settings = {**SMALL, "epochs": 1, "losses": losses}
    words = ["--name", "mine", "--config", json.dumps(settings), "--corpus", str(corpus.corpus)]
    words += ["--videos", str(corpus.videos), "--concepts", str(corpus.concepts), "--state", "state/encoder"]
    run(project.folder, "pipeline.pretrain_encoder", *words, "--output", "encoder/mine/manifest.json")
    [metrics] = (project.folder / "encoder" / "mine" / "metrics.jsonl").read_text().splitlines()
    names = {"train_center_loss", "train_center_accuracy", "val_center_loss", "val_center_accuracy"}
    assert names <= json.loads(metrics).keys()


@pytest.mark.campaign
def test_an_extractor_extracts_features(project: Project) -> None:
    write_video(project.folder / "my_videos" / "a.mp4", seconds=2.0, fps="30")
    run(project.folder, "pipeline.commands", *find_command("extractor", "sa-tsp"))
    rows = FeatureStore(project.folder / "OUT" / "brightness").read("a")
    assert rows.shape == (4, 3)
    assert np.all((rows > 0) & (rows < 1))


@pytest.mark.campaign
def test_a_captioner_is_trained_and_captions_events(project: Project) -> None:
    corpus = write_caption_corpus(project.folder / "captions", {"train": 4})
    settings = read_configuration("captioner")["train_captioner"]["gru"]
    settings |= {"features": ["toy"], "hidden": 8, "epochs": 1, "selection": "last"}
    manifest, captions = "captioner/manifest.json", project.folder / "captions.json"
    train = ["--config", json.dumps(settings), *corpus.arguments(), "--vocabulary", str(corpus.vocabulary)]
    train += ["--seed", "0", "--state", "state/captioner", "--output", manifest]
    propose = ["--config", '{"kind": "gt"}', "--corpus", str(corpus.manifest), "--output", "gt.json"]
    generate = [*corpus.arguments(), "--captioner", manifest, "--proposals", "gt.json", "--split", "train"]
    run_stages(
        project.folder,
        ["train_captioner", *train],
        ["propose_events", *propose],
        ["generate_captions", *generate, "--output", str(captions)],
    )
    architecture = json.loads((project.folder / "captioner" / "config.json").read_text())["architecture"]
    assert architecture == {"architecture": "gru", "hidden": 8}
    assert len(json.loads(captions.read_text())["results"]) == 4


@pytest.mark.campaign
def test_a_proposer_is_trained_and_proposes_events(project: Project) -> None:
    corpus = write_caption_corpus(project.folder / "events", {"train": 4, "val": 1})
    sections = {name: entries["runs"] for name, entries in read_configuration("proposer").items()}
    settings = sections["train_proposer"] | {"features": ["toy"], "epochs": 1}
    manifest = "proposer/manifest.json"
    train = ["--config", json.dumps(settings), *corpus.arguments(), "--state", "state/proposer", "--output", manifest]
    propose = ["--config", json.dumps(sections["propose_events"]), *corpus.arguments(), "--proposer", manifest]
    run_stages(project.folder, ["train_proposer", *train], ["propose_events", *propose, "--output", "proposals.json"])
    proposals = read_proposals(project.folder / "proposals.json")
    assert len(proposals) == 5
    assert all(proposals.values())


@pytest.mark.campaign
def test_a_localizer_is_trained_and_localizes_actions(project: Project) -> None:
    corpus = write_action_corpus(project.folder / "actions", {"train": 4, "test": 1})
    sections = read_configuration("localizer")
    settings = sections["train_localizer"]["snippets"] | {"features": ["toy"], "epochs": 10}
    manifest = "localizer/manifest.json"
    train = ["--config", json.dumps(settings), *corpus.arguments(), "--state", "state/localizer", "--output", manifest]
    detections = json.dumps(sections["localize_actions"]["snippets"])
    localize = ["--config", detections, *corpus.arguments(), "--localizers", manifest]
    run_stages(
        project.folder, ["train_localizer", *train], ["localize_actions", *localize, "--output", "detections.json"]
    )
    [of_video] = json.loads((project.folder / "detections.json").read_text())["results"].values()
    assert {detection["label"] for detection in of_video} == {"jump"}, "the one class of the video"


def test_a_dataset_and_a_stage_run_through_snakemake(project: Project) -> None:
    (project.folder / "data" / "mine").mkdir(parents=True)
    (project.folder / "data" / "mine" / "a.mp4").touch()
    (project.folder / "data" / "mine.lines").write_text("a 10 1 3.5 wash the dog\na 10 5 12 dry it\n")
    overlay = {key: value for recipe in RECIPES for key, value in read_configuration(recipe).items()}
    assert overlay.keys() >= {
        "pretrain_encoder",
        "extract_features",
        "train_captioner",
        "train_proposer",
        "train_localizer",
    }
    overlay.pop("build_corpus")  # names files that are not there
    (project.folder / "page.yaml").write_text(yaml.safe_dump(overlay))
    *options, manifest = find_command("dataset", "snakemake")
    *_, counts = find_command("stage", "snakemake")
    run(project.folder, "snakemake", *options, "--configfile", "page.yaml", "--quiet", "all", "--", manifest, counts)
    corpus = Corpus.open(project.folder / manifest)
    assert [(row.video, row.split, row.duration) for row in corpus.videos] == [("a", "train", 10.0)]
    segments = [(row.start, row.end, row.label) for row in corpus.segments]
    assert segments == [(1.0, 3.5, "wash the dog"), (5.0, 10.0, "dry it")]
    assert json.loads((project.folder / counts).read_text()) == {"wash the dog": 1, "dry it": 1}
    results = project.folder / "results" / "mine"
    record = json.loads((results / "count_labels.provenance.json").read_text())
    assert (record["stage"], record["config"]) == ("count_labels", {"max_labels": 100})
    assert (results / "logs" / "count_labels.log").is_file()
    assert (results / "benchmarks" / "count_labels.jsonl").is_file()
