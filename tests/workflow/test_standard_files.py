"""Files of a standard workflow: the catalog's entry, the Dockerfile, snakemake's lint."""

import os
import re
import sys
from pathlib import Path

import pytest
import yaml
from helpers.fork_server import forked_snakemake
from helpers.workflow_sandbox import ROOT

from pipeline.config.load import Config

APPTAINER = f"""#!{sys.executable} -IS
import os, sys
if "--version" in sys.argv:
    print("apptainer version 1.3.4")
else:
    at = sys.argv.index("sa-tsp.sif")
    with open("containers.txt", "a") as log:
        print(*sys.argv[1:at + 2], file=log)
    os.execvp(sys.argv[at + 1], sys.argv[at + 1:])
"""
"""Replaces apptainer: it records its arguments, and runs the command without a container."""


def test_the_catalog_entry_agrees_with_the_rules() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment"}
    assert usage["mandatory-flags"].keys() == {"desc", "flags"}
    deployment = usage["software-stack-deployment"]
    assert deployment.keys() == {"conda", "apptainer", "apptainer+conda", "report"}
    assert all(isinstance(value, bool) for value in deployment.values())
    rules = "".join(path.read_text() for path in [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")])
    assert deployment["conda"] == bool(re.search(r"^ *conda:", rules, flags=re.MULTILINE))
    assert deployment["apptainer"] == bool(re.search(r"^ *container:", rules, flags=re.MULTILINE))


def test_the_configuration_page_names_every_section_and_its_links_exist() -> None:
    text = (ROOT / "config" / "README.md").read_text()
    assert {name for name in Config.model_fields if f"`{name}`" not in text} == set()
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert linked
    assert all((ROOT / "config" / link).is_file() for link in linked)


def test_the_dockerfile_installs_a_lock_and_names_no_registry() -> None:
    text = (ROOT / "Dockerfile").read_text()
    devices = {"cpu", "gpu"}
    assert 'RUN python -m pip install --no-cache-dir --requirement "envs/${DEVICE}.lock"' in text
    assert "ARG DEVICE=cpu" in text
    assert "--build-arg DEVICE=gpu" in text
    assert all((ROOT / "envs" / f"{device}.lock").is_file() for device in devices)
    assert "://" not in text
    [image] = re.findall(r"^FROM (.*)$", text, flags=re.MULTILINE)
    assert "/" not in image


def test_the_image_leaves_out_what_git_ignores() -> None:
    git_ignored, docker_ignored = (
        {line.strip("*/") for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")}
        for name in (".gitignore", ".dockerignore")
    )
    assert docker_ignored == git_ignored | {".git"}


def test_snakemake_lint_has_no_complaint(clone: Path) -> None:
    process = forked_snakemake(clone, "--lint")
    assert process.returncode == 0, process.stdout
    assert "Lints for" not in process.stdout
    assert "Congratulations" in process.stdout, "snakemake prints its lints in another form"


@pytest.mark.campaign
def test_jobs_run_in_the_container_with_apptainer(clone: Path) -> None:
    (clone / "bin").mkdir()
    (clone / "bin" / "apptainer").write_text(APPTAINER)
    (clone / "bin" / "apptainer").chmod(0o755)
    (clone / "few.yaml").write_text("make_demo: {train_videos: 2, val_videos: 3, test_videos: 0, broken_videos: 0}\n")
    path = f"{clone / 'bin'}{os.pathsep}{os.environ['PATH']}"
    words = ("--cores", "1", "results/demo/source/manifest.json", "--configfile", "few.yaml")
    process = forked_snakemake(clone, *words, "--software-deployment-method", "apptainer", PATH=path)
    assert process.returncode == 0, process.stdout
    [call] = [line for line in (clone / "containers.txt").read_text().splitlines() if line.endswith(" bash")]
    assert re.search(rf"\bexec --home {re.escape(str(clone))} .*sa-tsp\.sif bash$", call)
    assert (clone / "results" / "demo" / "source" / "manifest.json").is_file()
