"""Write the skeleton of a new stage: module, section of the configuration, rule and test.

    make new-stage NAME=count_labels DOES="Count the segments of each action class."    # a rule in rules/study.smk
    make new-stage NAME=count_labels RULES=report                                       # a rule in rules/report.smk

The new stage reads the corpus and writes results/{dataset}/<name>.json. It is optional: snakemake runs it only if its
result is a target. The command ends with what is left to do.
"""

import re
import subprocess
import sys

from pipeline.config.command import build_parser, command
from pipeline.config.load import stages
from pipeline.errors import PipelineError, nearest
from workflow.scripts.rule_files import ROOT, RULES

NAME = re.compile(r"[a-z]+(_[a-z0-9]+)+")
DOES = re.compile(r"[A-Z][^\"\\\n]{,99}\.")

MODULE = '''\
"""{does}

In: the corpus.
Out: a JSON file with the number of videos.

Alone:
    python -m pipeline.{name} --corpus results/demo/corpus/manifest.json --output /tmp/{name}.json
"""

from pathlib import Path

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.{name} import {model}
from pipeline.datasets.corpus import Corpus
from pipeline.io.atomic import write_json
from pipeline.provenance.computation import Computation

STAGE = "{name}"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage from its command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, {model}, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--output", type=Path, required=True, help="JSON file to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, {model}, STAGE)
    corpus = Corpus.open(args.corpus)
    computation = Computation(STAGE, config, [args.corpus], [args.output])
    if computation.restore():
        return 0
    write_json(args.output, {{config.title: len(corpus.videos)}})
    computation.keep_outputs()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
'''

SECTION = '''\
"""Section `{name}`."""

from pydantic import Field

from pipeline.config.base import Section


class {model}(Section):
    """{does}"""

    TARGET = "results/{{dataset}}/{name}.json"

    title: str = Field("videos", description="name of the number in the result")
'''

RULE = '''

rule {name}:
    """{does}"""
    input:
        code=code_hash_of("{name}"),
        corpus="results/{{dataset}}/corpus/manifest.json",
    output:
        result="results/{{dataset}}/{name}.json",
    log:
        "results/{{dataset}}/logs/{name}.log",
    benchmark:
        "results/{{dataset}}/benchmarks/{name}.jsonl"
    resources:
        mem_mb=scale_with_attempt(4000),
        runtime=scale_with_attempt(60),
    params:
        config=config_params("{name}"),
        tracked=tracked_params("{name}"),
    shell:
        "python -m workflow.scripts.run_job --log {{log:q}} --"
        " python -m pipeline.{name} --config {{params.config:q}} --corpus {{input.corpus:q}}"
        " --output {{output.result:q}}"
'''

TEST = '''\
"""The stage `{name}`."""

import json
from pathlib import Path

from helpers.corpus_tables import write_corpus_tables

from pipeline.datasets.corpus import ActionSegment, CorpusVideo
from pipeline.{name} import main

VIDEOS = [CorpusVideo("v_a", "train", 0, "a.mp4", 10.0), CorpusVideo("v_b", "val", 0, "b.mp4", 10.0)]
SEGMENTS = [ActionSegment("v_a", 1.0, 2.0, "jump"), ActionSegment("v_b", 3.0, 4.0, "jump")]


def test_{name}(tmp_path: Path) -> None:
    output = tmp_path / "{name}.json"
    corpus = write_corpus_tables(tmp_path / "corpus" / "manifest.json", VIDEOS, SEGMENTS, metadata={{}})
    assert main(["--corpus", str(corpus), "--output", str(output)]) == 0
    assert json.loads(output.read_text()) == {{"videos": 2}}
    assert output.with_name("{name}.provenance.json").is_file()
'''

TODO = """\
Wrote pipeline/{name}.py, pipeline/config/{name}.py, tests/test_{name}.py, a rule in workflow/rules/{rules}.smk and a
line in pipeline/config/load.py. Left to do:
  1. write the stage in pipeline/{name}.py, and its settings in pipeline/config/{name}.py
  2. write its inputs, outputs and resources in workflow/rules/{rules}.smk
  3. test its behaviour in tests/test_{name}.py
  4. if every run needs its result: delete TARGET, and make the result an input of another rule
  5. make generate && make test"""


def check_name(name: str) -> None:
    """Check the name of a new stage.

    Raises:
        PipelineError: the name is not verb_noun, or is taken.
    """
    if not NAME.fullmatch(name):
        raise PipelineError(f"NAME={name}: expected verb_noun in small letters, for example count_words")
    for path in (
        ROOT / "pipeline" / f"{name}.py",
        ROOT / "pipeline" / name,
        ROOT / "pipeline" / "config" / f"{name}.py",
        ROOT / "tests" / f"test_{name}.py",
    ):
        if name in stages() or path.exists():
            raise PipelineError(f"NAME={name}: the name is taken ({path.relative_to(ROOT)}); choose another")


def write_skeleton(name: str, does: str, rules: str) -> None:
    """Write the files of a new stage.

    Args:
        name: name of the stage.
        does: one sentence that says what the stage does.
        rules: name of the rule file that gets the rule.

    Raises:
        PipelineError: there is no such rule file, the name is not available, or `does` is not a plain sentence.
    """
    check_name(name)
    if not DOES.fullmatch(does):
        raise PipelineError(f"DOES={does}: expected one sentence of at most 100 characters, without quotation marks")
    rule_file = RULES / f"{rules}.smk"
    if not rule_file.is_file() or rules in ("common", "inputs"):
        rule_files = {path.stem for path in RULES.glob("*.smk")} - {"common", "inputs"}
        raise PipelineError(f"RULES={rules}: no such file in workflow/rules{nearest(rules, rule_files)}")
    words = {"name": name, "does": does, "model": "".join(part.title() for part in name.split("_"))}
    templates = {f"pipeline/{name}.py": MODULE, f"pipeline/config/{name}.py": SECTION, f"tests/test_{name}.py": TEST}
    for path, template in templates.items():
        (ROOT / path).write_text(template.format(**words), encoding="utf-8")
    rule_file.write_text(rule_file.read_text(encoding="utf-8") + RULE.format(**words), encoding="utf-8")
    _add_section(**words)
    for options in (["check", "--select", "I", "--fix"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *options, "--quiet", *templates, "pipeline/config/load.py"]
        subprocess.run(ruff, cwd=ROOT, check=True)


def _add_section(name: str, does: str, model: str) -> None:
    """Add the section to the configuration: one import, and one field after the others."""
    path = ROOT / "pipeline" / "config" / "load.py"
    lines = path.read_text(encoding="utf-8").splitlines()
    description = (does[0].lower() + does[1:]).removesuffix(".")
    field = f'    {name}: {model} = Field({model}(), description="{description}")'
    lines.insert(lines.index('    @model_validator(mode="after")') - 1, field)
    imports = [number for number, line in enumerate(lines) if line.startswith("from pipeline.config.")]
    line = f"from pipeline.config.{name} import {model}"
    lines.insert(next((number for number in imports if lines[number] > line), imports[-1] + 1), line)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = build_parser(__doc__, prog="python -m workflow.scripts.new_stage")
    arguments.add_argument("name", help="name of the stage, verb_noun")
    arguments.add_argument("--does", default="Do something.", help="one sentence that says what the stage does")
    arguments.add_argument("--rules", default="study", help="name of the rule file that gets the rule")
    args = arguments.parse_args(argv)
    write_skeleton(args.name, args.does, args.rules)
    print(TODO.format(name=args.name, rules=args.rules))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
