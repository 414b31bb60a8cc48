r"""Start a dataset of your own videos: write config/datasets/NAME.yaml from what is in your folders.

In:  a folder of videos, and captions of them: a folder with a subtitle or ELAN file for each video, or a table or JSON
     file for all videos (docs/annotations.md); one for each annotator.
Out: config/datasets/NAME.yaml, with settings for a few hundred short videos and a machine without a GPU. The report of
     `sa-tsp annotations check`, and what was guessed, are printed.

    sa-tsp init mine --videos films/ --captions films/
    sa-tsp init mine --videos films/ --captions anna.csv ben.csv
    sa-tsp init mine --videos films/ --captions elan/ --reader elan --set tier=Captions

Run it in the project's folder: paths in the file are relative to it. A file that exists is replaced only with
--overwrite.

Exit status: 0 if the file was written, 2 if the user must change something first.
"""

import re
import shlex
import statistics
from collections import Counter
from pathlib import Path

import yaml

from pipeline.commands.annotations import add_reader, parse_reader_arguments
from pipeline.config.command import build_parser, command
from pipeline.config.dataset_names import DATASET, SMOKE, parse_seeded_name
from pipeline.config.load import CONFIG, load_config
from pipeline.datasets.annotation_summary import AnnotationSummary, summarize
from pipeline.datasets.new_dataset import NewDataset, measure_picture, propose_dataset
from pipeline.datasets.video_files import list_folder
from pipeline.errors import PipelineError
from pipeline.io.atomic import write_text

CROP = 64
"""Side of the crop that an encoder of the small settings sees (pixels)."""
MIN_PROPOSALS = 6
"""Least number of learned proposals of a video."""

HEADER = """\
# yaml-language-server: $schema=../schema.json
# Written by: {command}
#   snakemake --cores 2 results/{name}_test_meteor.json results/{name}/report/index.html
#   sa-tsp annotations check --dataset {name}
#
# Guessed, so please check:
{guesses}

"""

SMALL_SETTINGS = """
# Settings for a few hundred short videos and a machine without a GPU. A section that you remove gets the paper's
# settings of config/config.yaml, which need a GPU.
reencode:
  crf: 16  # small pictures lose most by compression
  preset: veryfast
  gop: 30
  short_side: {short_side}

mine_concepts:
  tagger: lexicon
  min_count: 2

pretrain_encoder:
  initial: &start
    architecture: r2plus1d_narrow
    initial_weights: null
    # About one second; the resized picture keeps the shape of most of the videos.
    clip: {{frames: 8, fps: 7.5, height: {height}, width: {width}, crop: {crop}}}
    freeze_stem: false
  sa_tsp:
    <<: *start
    global_feature: {{feature: initial, pool: max}}
    background_gap: 1.2
    losses: {{action: 1.0, region: 1.0, concepts: 1.0}}
    empty_classes: allow  # an action class without a clip in a training video is not learned
    epochs: 12
    batch_size: 32
    backbone_lr: 0.05
    head_lr: [0.05]
    weight_decay: 0.0005
    warmup_epochs: 1.0
    milestones: [8.0, 11.0]
    decay: 0.1
    cache_gb: 1.5
    workers: 0

extract_features:
  initial: {{stride: 4}}
  sa_tsp: {{stride: 4}}

train_proposer:
  learned: {{hidden: 128, validation: &few {{max_proposals: {proposals}, min_score: 0.5}}}}

propose_events:
  learned: *few

train_captioner:
  sa_tsp: {{features: [sa_tsp], hidden: 128, epochs: 40, batch_videos: 8, lr: 2.0e-3, evaluate_every: 5}}

finetune_scst:
  epochs: 20
  batch_videos: 8
  baseline: samples
  samples: 5
  lr: 1.0e-3
  lr_decay: 0.9
  lr_decay_every: 5
  selection: last
  evaluate_every: 5

select_captions:
  members:
    - {{captioner: sa_tsp, seed: 0}}
    - {{captioner: sa_tsp, seed: 1}}
"""


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    arguments = build_parser(__doc__, prog="sa-tsp init")
    arguments.add_argument("name", metavar="NAME", help="name of the dataset: small letters, digits and _")
    arguments.add_argument("--videos", type=Path, required=True, metavar="FOLDER", help="folder of the videos")
    arguments.add_argument(
        "--captions", nargs="+", type=Path, required=True, metavar="PATH", help="file or folder of each annotator"
    )
    add_reader(arguments)
    arguments.add_argument("--overwrite", action="store_true", help="replace config/datasets/NAME.yaml")
    args = arguments.parse_args(argv)
    path = _check_name(args.name, overwrite=args.overwrite)
    dataset = propose_dataset(args.videos, args.captions, args.actions, parse_reader_arguments(args))
    summary = summarize(dataset.build_corpus)
    words = ["sa-tsp", "init", args.name, "--videos", str(args.videos), "--captions", *map(str, args.captions)]
    guesses = [*dataset.guesses, "the settings are for a machine without a GPU and a few hundred short videos"]
    write_text(path, _write_settings(args.name, shlex.join(words), dataset, guesses, summary))
    load_config(args.name, {})
    print("\n".join(summary.lines()))
    print("\n".join(["guessed:", *(f"  {guess}" for guess in guesses)]))
    print(f"wrote {path}")
    return 0


def _check_name(name: str, *, overwrite: bool) -> Path:
    """Return the file of a new dataset.

    Raises:
        PipelineError: the name cannot be one, the dataset exists, or this is not the project's folder.
    """
    if not re.fullmatch(DATASET, name):
        raise PipelineError(f"{name!r} cannot be the name of a dataset: it has small letters, digits and _")
    if name.endswith(SMOKE) or parse_seeded_name(name):
        raise PipelineError(f"{name!r} is the name of a variant of another dataset (_smoke, _s1): choose another name")
    path = CONFIG / "datasets" / f"{name}.yaml"
    if not path.parent.is_dir():
        raise PipelineError(f"{path.parent}: no such folder; run this command in the folder of the project")
    if path.exists() and not overwrite:
        raise PipelineError(f"{path} exists; choose another name, or replace the file with --overwrite")
    return path


def _write_settings(name: str, words: str, dataset: NewDataset, guesses: list[str], summary: AnnotationSummary) -> str:
    """Return the text of the configuration file."""
    files = list_folder(Path(dataset.section["videos"])).by_stem()
    captioned = {row.video for row in summary.tables.videos}
    height, width = measure_picture({video: path for video, path in files.items() if video in captioned})
    section = yaml.safe_dump({"build_corpus": dataset.section}, sort_keys=False, allow_unicode=True, width=110)
    counts = Counter((event.video, event.annotator) for event in summary.tables.captions)
    events = statistics.median(counts.values())
    small = SMALL_SETTINGS.format(
        short_side=min(height, width),
        height=height,
        width=width,
        crop=CROP,
        proposals=max(MIN_PROPOSALS, round(1.5 * events)),
    )
    header = HEADER.format(name=name, command=words, guesses="\n".join(f"#   {guess}" for guess in guesses))
    return header + section + small


if __name__ == "__main__":
    raise SystemExit(main())
