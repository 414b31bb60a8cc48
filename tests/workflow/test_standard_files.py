"""The files that others expect of a workflow: what the catalog shows, the container recipe, snakemake's own lint."""

import re
from pathlib import Path

import yaml
from clones import ROOT, snakemake

from pipeline.config.load import Config

DECIDED = {
    "Specify a conda environment or container for each rule.",  # one locked environment for all: envs/, Dockerfile
}
"""Lints that are known and left."""


def test_the_catalog_knows_how_the_workflow_is_used() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment"}
    assert usage["mandatory-flags"].keys() == {"desc", "flags"}
    deployment = usage["software-stack-deployment"]
    assert deployment.keys() == {"conda", "apptainer", "apptainer+conda", "report"}
    assert all(isinstance(value, bool) for value in deployment.values())
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    assert deployment["conda"] == bool(re.search(r"^    conda:", rules, flags=re.MULTILINE))
    assert deployment["apptainer"] == bool(re.search(r"^ *container:", rules, flags=re.MULTILINE))


def test_what_the_catalog_shows_of_the_configuration_names_every_section() -> None:
    text = (ROOT / "config" / "README.md").read_text()
    assert {name for name in Config.model_fields if f"`{name}`" not in text} == set()
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert linked
    assert all((ROOT / "config" / link).is_file() for link in linked)


def test_the_container_installs_a_lock_and_names_no_registry() -> None:
    text = (ROOT / "Dockerfile").read_text()
    devices = {"cpu", "gpu"}
    assert 'RUN python -m pip install --no-cache-dir --requirement "envs/${DEVICE}.lock"' in text
    assert "ARG DEVICE=cpu" in text
    assert "--build-arg DEVICE=gpu" in text
    assert all((ROOT / "envs" / f"{device}.lock").is_file() for device in devices)
    assert "://" not in text
    [image] = re.findall(r"^FROM (.*)$", text, flags=re.MULTILINE)
    assert "/" not in image


def test_what_git_ignores_stays_out_of_the_image() -> None:
    ignored, left_out = (
        {line.strip("*/") for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")}
        for name in (".gitignore", ".dockerignore")
    )
    assert left_out == ignored | {".git"}


def test_snakemakes_lint_finds_nothing_but_what_is_decided(clone: Path) -> None:
    done = snakemake(clone, "--lint")
    titles = re.findall(r"^    \* (.*):$", done.stdout, flags=re.MULTILINE)
    assert titles, "snakemake tells its lints in another form now"
    assert set(titles) <= DECIDED
    assert not re.findall(r"Lints for snakefile (.*)", done.stdout)
