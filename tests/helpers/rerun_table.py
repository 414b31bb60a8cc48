"""Which rules a change of a setting or a module makes snakemake run, asked for all of them at once.

    python tests/helpers/rerun_table.py            # writes tests/workflow/reruns.yaml anew; look at what changed in it

Every setting gets a dataset of its own in which it alone is changed; one dry run plans them all, and the jobs of each
are held against those of the dataset in which nothing is changed. Modules are held against the stamps of the stages.
"""

import json
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from helpers.workflow_sandbox import ROOT
from pipeline.config.load import Config, merge
from pipeline.errors import PipelineError
from pipeline.provenance.code_hash import closure
from pipeline.provenance.jobs import Job, dry_run
from pipeline.provenance.settings import deciding

TABLE = ROOT / "tests" / "workflow" / "reruns.yaml"
COMMAND = "python tests/helpers/rerun_table.py"
HEADER = f"""\
# Where reruns begin. Generated: {COMMAND}
#
# settings: rules that a change of the setting makes run, by itself; modules: rules whose stage runs the module's code.
# With them runs what `follows` from the rule, or from the entry whose setting it is; after `only` nothing follows.
# [] is a setting that only says how the machine is used, or a module of no rule.
# A setting or module without a row, or with a wrong one, fails tests/workflow/test_reruns.py.

"""

BASE = yaml.safe_load("""
build_corpus:
  actions: [results/NAME/source/activity_net.v1-3.json]
  captions_train: results/NAME/source/train.json
  captions_val: [results/NAME/source/val_1.json, results/NAME/source/val_2.json]
  videos: results/NAME/source/videos
  shards: 1
mine_concepts: {tagger: lexicon}
pretrain_encoder:
  initial: {initial_weights: null, architecture: r2plus1d_narrow, freeze_stem: false}
  sa_tsp: {initial_weights: given.pth, architecture: r2plus1d_narrow, freeze_stem: false, replicas: 2}
extract_features:
  network: {extractor: vggish, weights: random}
  given: {file: given.h5, fps: 15.0, frames: 16, stride: 16}
propose_events:
  bmn: {kind: bmn, features: [sa_tsp]}
  given: {kind: file, path: given.json}
finetune_scst: {samples: 2}
select_captions:
  members: [{captioner: sa_tsp, seed: 0}]
train_captioner:
  on_initial: {features: [initial], self_critical: false}
  on_sa_tsp: {features: [sa_tsp], self_critical: false}
compare_encoders:
  arms: [{feature: sa_tsp, captioner: on_sa_tsp}, {feature: initial, captioner: on_initial}]
  seeds: [1]
""")
"""The dataset in which nothing is changed: an entry of every kind, and otherwise as few jobs as can be."""

ROAD = ("NAME_test_meteor.json", "NAME/report/index.html")
MORE = {
    "write_submission": ("NAME_submission.json",),
    "probe_encoder": ("NAME/probes/sa_tsp.json",),
    "compare_encoders": ("NAME_pretraining.json",),
    "climb_ladder": ("NAME_ladder.json",),
    "extract_features.network": ("NAME/features/network/0000/manifest.json",),
    "extract_features.given": ("NAME/features/given/0000/manifest.json",),
    "propose_events.bmn": ("NAME/proposals/bmn.json",),
    "propose_events.given": ("NAME/proposals/given.json",),
}
"""What is asked for beside the road where settings are changed that the road does not read."""

ENTRIES = {
    "pretrain_encoder": "encoder",
    "extract_features": "feature",
    "propose_events": "proposer",
    "train_captioner": "captioner",
}
"""Sections of named entries, and the wildcards that name those."""

GIVEN = ("given.h5", "given.json", "given.pth", "other", "other.pth")
"""Files that are read and that no rule makes."""

ALIKE = (
    "pretrain_encoder.initial",
    "extract_features.initial",
    "train_captioner.on_initial",
    "train_captioner.on_sa_tsp",
)
"""Entries of which others of the same kind are changed."""

UNLIKE: dict[str, Any] = {
    "build_corpus.subsets": {"results/NAME/source/activity_net.v1-3.json": "training"},
    "build_corpus.pins": {"v_12345678901": "val"},
    "build_corpus.limit_videos": 100,
    "pretrain_encoder.initial.steps_per_epoch": 2,
    "pretrain_encoder.sa_tsp.steps_per_epoch": 2,
    "propose_events.learned.steps_per_epoch": 2,
    "propose_events.bmn.steps_per_epoch": 2,
    "train_captioner.sa_tsp.steps_per_epoch": 2,
    "finetune_scst.steps_per_epoch": 2,
    "pretrain_encoder.sa_tsp.initial_weights": "other.pth",
    "pretrain_encoder.sa_tsp.global_feature.feature": "network",
    "extract_features.sa_tsp.encoder": "initial",
    "probe_encoder.attributes": {"colour": ["red"]},
    "propose_events.learned.features": ["initial"],
    "propose_events.bmn.features": ["initial"],
    "train_captioner.sa_tsp.features": ["sa_tsp", "initial"],
    "finetune_scst.proposals": "learned",
    "generate_captions.block_ngrams": 3,
    "climb_ladder.seeds": [1],
    "compare_encoders.arms": [{"feature": "sa_tsp", "captioner": "on_sa_tsp"}],
    "compare_encoders.floor": "initial",
    "compare_encoders.pairs": [{"arm": "sa_tsp", "than": "initial"}],
}
"""Other values of settings where none can be guessed from the present one."""


def base(name: str) -> dict[str, Any]:
    """The configuration file of the dataset of a name in which nothing is changed."""
    return dict(yaml.safe_load(json.dumps(BASE).replace("NAME", name)))


def leaves(plain: dict[str, Any], key: str = "") -> Iterator[tuple[str, Any]]:
    """Settings with their values, keys with dots; `kind` is none: with it the other settings are others."""
    for name, value in plain.items():
        inner = f"{key}.{name}".strip(".")
        if inner in ALIKE or name == "kind":
            continue
        if isinstance(value, dict) and value:
            yield from leaves(value, inner)
        else:
            yield inner, value


def nested(key: str, value: Any) -> dict[str, Any]:
    """A setting as a configuration file holds it."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return dict(value)


def changed(key: str, value: Any, name: str) -> dict[str, Any]:
    """The configuration file of a dataset in which one setting has another value than in the base.

    Raises:
        LookupError: no other value could be guessed.
    """
    unlike = json.loads(json.dumps(UNLIKE).replace("NAME", name))
    for guess in [unlike[key]] if key in unlike else _guesses(key, value, name):
        overlay = merge(base(name), nested(key, guess))
        if guess != value and not _wrong(overlay):
            return overlay
    raise LookupError(f"no other value of {key} than {value!r} comes to mind: give one in UNLIKE of {__file__}")


def _wrong(overlay: dict[str, Any]) -> str:
    """What the configuration says against a file; empty if nothing."""
    try:
        Config.parse(merge(DEFAULTS, overlay), "")
    except PipelineError as error:
        return str(error)
    return ""


def _guesses(key: str, value: Any, name: str) -> list[Any]:
    """Other values that a setting might take: the next one, another word that it allows, a longer or shorter list."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, value * 2, value + 3]
    if isinstance(value, float):
        return [value / 2, value + 1]
    if isinstance(value, list) and len(value) > 1:
        return [value[:-1]]
    tried = ["?"] if isinstance(value, list) else "?"
    words = re.findall(r"'(\w+)'", _wrong(merge(base(name), nested(key, tried))).partition("should be")[2])
    if isinstance(value, list):
        last = value[-1]
        more = (
            {**last, "seed": last["seed"] + 1}
            if isinstance(last, dict)
            else last
            if isinstance(last, str)
            else last + 1
        )
        return [[*value, other] for other in [*words, more, "other"]]
    return [*words, "other", 32, 2, True]


DEFAULTS: dict[str, Any] = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))


def variants() -> dict[str, dict[str, Any]]:
    """Every setting -> configuration file of a dataset in which it alone is changed, named by `name_of`."""
    present = Config.parse(merge(DEFAULTS, base("unchanged")), "").model_dump(mode="json")
    found = {}
    for index, (key, _) in enumerate(leaves(present)):
        name = name_of(index)
        mine = Config.parse(merge(DEFAULTS, base(name)), "").model_dump(mode="json")
        found[key] = changed(key, dict(leaves(mine))[key], name)
    return found


def name_of(index: int) -> str:
    """Name of the dataset of a setting."""
    return f"v{index}"


def targets(name: str, key: str | None) -> list[str]:
    """What is asked for of a dataset: the road, and what else reads a setting; all of it without one."""
    more = [files for start, files in MORE.items() if key is None or f"{key}.".startswith(f"{start}.")]
    return [f"results/{file.replace('NAME', name)}" for files in [ROAD, *more] for file in files]


def write_tree(folder: Path, datasets: dict[str, dict[str, Any]]) -> None:
    """A folder like a clone, with datasets of one's own and what is given of them."""
    for name in ("Snakefile", "workflow", "profiles"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "config" / "datasets").mkdir(parents=True)
    (folder / "config" / "config.yaml").symlink_to(ROOT / "config" / "config.yaml")
    for name, overlay in {"demo": base("demo"), **datasets}.items():
        (folder / "config" / "datasets" / f"{name}.yaml").write_text(yaml.safe_dump(overlay))
    for name in GIVEN:
        (folder / name).write_text("")


Key = tuple[str, str]


class Told(NamedTuple):
    """A job.

    Attributes:
        told: what snakemake compares of it, without the name of the dataset.
        input: declared inputs.
        output: declared outputs.
    """

    told: str
    input: list[str]
    output: list[str]


Jobs = dict[Key, Told]


def jobs_of(jobs: list[Job], name: str) -> Jobs:
    """Jobs of a dataset, those of its variants among them, by rule and wildcards."""
    found = {}
    for job in jobs:
        if job.command and re.fullmatch(rf"{name}(_s[0-9]+)?", job.wildcards["dataset"]):
            words = shlex.split(job.command)
            at = words.index("--config")
            # How many GPUs and processes is the machine's affair, as is what `deciding` leaves out.
            rest = re.sub("--gpus [0-9]+( --processes [0-9]+)?", "", " ".join([*words[:at], *words[at + 2 :]]))
            files = sorted(map(str, job.input)), sorted(map(str, job.output))
            told = json.dumps([files, deciding(job.rule, job.settings()), rest])
            found[job.rule, _plain(json.dumps(job.wildcards), name)] = Told(_plain(told, name), *files)
    return found


def _plain(text: str, name: str) -> str:
    return re.sub(rf"\b{name}(?![a-z0-9])", "NAME", text)


def begins(unchanged: Jobs, variant: Jobs) -> set[Key]:
    """Jobs that are new, or of which something changed that snakemake compares."""
    return {key for key, told in variant.items() if key not in unchanged or unchanged[key].told != told.told}


def reached(jobs: Jobs, start: set[Key]) -> set[str]:
    """Rules of some jobs and of those that read, however far down, what they make."""
    readers: dict[str, set[Key]] = {}
    for key, job in jobs.items():
        for path in job.input:
            readers.setdefault(path, set()).add(key)
    pending, found = list(start), set(start)
    while pending:
        news = {key for path in jobs[pending.pop()].output for key in readers.get(path, set())} - found
        found |= news
        pending += news
    return {rule for rule, _ in found}


def followed(jobs: Jobs) -> dict[str, list[str]]:
    """Rule, or rule and entry that its jobs are for -> rules that follow from it: the first section of the table."""
    found = {}
    for rule in Config.model_fields:
        own = {key for key in jobs if key[0] == rule}
        found[rule] = in_order(reached(jobs, own) - {rule})
        named = {key: json.loads(key[1])[ENTRIES[rule]] for key in own} if rule in ENTRIES else {}
        for entry in sorted(set(named.values())):
            start = {key for key, name in named.items() if name == entry}
            found[f"{rule}.{entry}"] = in_order(reached(jobs, start) - {rule})
    return found


def planned(name: str, rules: list[str], follows: dict[str, list[str]]) -> set[str]:
    """All that runs where reruns begin at some rules.

    Args:
        name: the setting that has changed, or the module.
        rules: its row.
        follows: the first section of the table.
    """
    if rules[:1] == ["only"]:
        return set(rules[1:])
    rules = list(Config.model_fields) if rules == ["all"] else rules
    entry = ".".join(name.split(".")[:2])
    starts = [entry if entry.startswith(f"{rule}.") and entry in follows else rule for rule in rules]
    return {*rules, *(after for start in starts for after in follows[start])}


def row(key: str, changed_jobs: set[Key], jobs: Jobs, follows: dict[str, list[str]]) -> list[str]:
    """The row of a setting: of the rules that it makes run those that do not follow from others of them."""
    runs, rules = reached(jobs, changed_jobs), {rule for rule, _ in changed_jobs}
    asked = {rule for rule, _ in jobs}
    kept: list[str] = []
    for rule in in_order(rules):
        if rule not in planned(key, kept, follows):
            kept.append(rule)
    return kept if planned(key, kept, follows) & asked == runs else ["only", *in_order(runs)]


def in_order(rules: set[str]) -> list[str]:
    """Rules in the order of the data flow."""
    return [rule for rule in Config.model_fields if rule in rules]


def settings_table() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """What follows each rule, and where reruns begin when a setting changes: the sections of the table."""
    found = variants()
    names = {key: name_of(index) for index, key in enumerate(found)}
    asked = [*targets("unchanged", None), *(file for key, name in names.items() for file in targets(name, key))]
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder), {"unchanged": base("unchanged")} | {names[key]: found[key] for key in found})
        before = Path.cwd()
        os.chdir(folder)
        try:
            jobs = dry_run(asked, [])
        finally:
            os.chdir(before)
    unchanged = jobs_of(jobs, "unchanged")
    follows = followed(unchanged)
    rows = {}
    for key, name in names.items():
        mine = jobs_of(jobs, name)
        rows[key] = row(key, begins(unchanged, mine), mine, follows)
    return follows, rows


def modules() -> list[str]:
    """All first-party modules."""
    files = sorted((ROOT / "pipeline").rglob("*.py"))
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]


def modules_table() -> dict[str, list[str]]:
    """Rules whose stage runs each module's code."""
    behind = {rule: closure(f"pipeline.{rule}") for rule in Config.model_fields}
    found = {module: in_order({rule for rule, code in behind.items() if module in code}) for module in modules()}
    return {module: ["all"] if rules == list(behind) else rules for module, rules in found.items()}


def text(table: dict[str, dict[str, list[str]]]) -> str:
    """The table as the file holds it."""
    lines = []
    for title, rows in table.items():
        lines += [f"{title}:", *(f"  {name}: [{', '.join(rules)}]" for name, rules in rows.items()), ""]
    return HEADER + "\n".join(lines)


def whole() -> dict[str, dict[str, list[str]]]:
    """The table as code and rules have it now."""
    follows, settings = settings_table()
    return {"follows": follows, "settings": settings, "modules": modules_table()}


def main() -> None:
    """Write the table anew."""
    TABLE.write_text(text(whole()), encoding="utf-8")


if __name__ == "__main__":
    main()
