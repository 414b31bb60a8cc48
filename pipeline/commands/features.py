r"""Extract features of any videos, several features in one pass; list the extractors.

In:  videos: files, folders, or manifests of re-encoded shards; manifests of encoders trained here, or weights of
     published networks.
Out: OUT/{feature}/0000/manifest.json for each feature; beside it features.zarr (an array [rows, channels]),
     index.parquet (which rows belong to which video) and rejects.parquet (the videos without the feature, and why).

    sa-tsp features --list
    sa-tsp features --show i3d_flow
    sa-tsp features --features i3d_flow vggish --weights i3d_flow=weights/ vggish=random \
        --set i3d_flow.flow=tvl1 vggish.relu=false --tail pad --videos my_videos/ one_more.mkv --output OUT
    sa-tsp features --features sa_tsp --encoder sa_tsp=results/demo/encoders/sa_tsp/manifest.json \
        --set sa_tsp.stride=8 --videos my_videos/ --output OUT

Each video is decoded once for all features. A video that cannot be decoded has no features; other videos are not
affected. Existing features are skipped if they are up to date. To continue a run that was stopped, run the same command
again. Nothing is downloaded: `--show` names the address of each weight file.

Exit status: 0 if every video has every feature, 3 if some videos lack one, 2 if the user must change something first, 1
after an internal error.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.command import add_config, build_parser, command, list_settings, read_config
from pipeline.config.encoders import WEIGHTS_FOLDER
from pipeline.config.extract_features import EncoderFeatureSettings, FeatureEntry
from pipeline.config.extractors import (
    EXTRACTORS,
    RANDOM,
    ExtractorSpec,
    PassSettings,
    PublishedFeatureSettings,
    ShardPassSettings,
    WeightFile,
)
from pipeline.errors import PipelineError, nearest

STAGE = "extract_features"
SOME_REJECTED = 3
"""Exit status if some videos lack a feature."""
ALL = ""
"""Key of the weights of all networks."""


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = build_parser(__doc__, prog="sa-tsp features", epilog=_settings_help())
    add = arguments.add_argument
    add("--list", action="store_true", help="list the extractors, and the weight files in --folder")
    add("--show", metavar="NAME", help="show one extractor: windows, input, settings, weight files, licences")
    add("--folder", type=Path, default=WEIGHTS_FOLDER, help="folder of weight files, for --list and --show")
    add("--features", nargs="+", metavar="NAME", help="extractors of --list, and encoders of --encoder")
    add("--videos", nargs="+", type=Path, metavar="PATH", help="files, folders, manifests of re-encoded shards")
    add("--encoder", nargs="+", default=[], metavar="[NAME=]MANIFEST", help="encoders; default name: their folder's")
    add(
        "--weights",
        nargs="+",
        default=[],
        metavar="random|NAME=FILE",
        help="file, folder or `random`; `random` alone: all",
    )
    add("--set", nargs="+", default=[], metavar="NAME.KEY=VALUE", help="settings of one feature, see below")
    add("--output", type=Path, metavar="OUT", help="folder of all features")
    add("--overwrite", action="store_true", help="replace features that were made in another way")
    add_config(arguments, PassSettings, STAGE)
    args = arguments.parse_args(argv)
    if args.list:
        print("\n".join(_list(args.folder)))
        return 0
    if args.show:
        print("\n".join(_show(EXTRACTORS[args.show], args.folder)))
        return 0
    missing = [f"--{name}" for name in ("features", "videos", "output") if not getattr(args, name)]
    if missing:
        arguments.error(f"the following arguments are required: {', '.join(missing)}")
    return SOME_REJECTED if _extract(args) else 0


def _extract(args: argparse.Namespace) -> int:
    """Extract the features that a command line names; return the number of videos that lack a feature."""
    # Imported here, so that --list and --help do not wait for torch.
    from pipeline.features.extraction.run import (
        extract_requested,
        request_encoder_feature,
        request_published_feature,
    )
    from pipeline.features.extraction.sources import find_sources

    options = read_config(args.config, PassSettings, STAGE)
    encoders = {name or Path(path).parent.name: Path(path) for name, path in map(_split_name, args.encoder)}
    requests = []
    for name, settings in feature_settings(args.features, encoders, args.weights, args.set, options).items():
        section, manifest = FeatureEntry(settings), args.output / name / "0000" / "manifest.json"
        if isinstance(settings, EncoderFeatureSettings):
            requests.append(request_encoder_feature(section, settings, encoders[name], manifest))
        else:
            requests.append(request_published_feature(section, settings, manifest))
    sources = find_sources(args.videos)
    return extract_requested(requests, sources, args.videos, options, max_rejected=1.0, overwrite=args.overwrite)


def feature_settings(
    names: Sequence[str],
    encoders: Mapping[str, Path],
    weights: Sequence[str],
    assignments: Sequence[str],
    options: PassSettings,
) -> dict[str, EncoderFeatureSettings | PublishedFeatureSettings]:
    """Return the settings of each feature that a command line names.

    Args:
        names: names of encoders and extractors.
        encoders: name -> manifest.
        weights: `random`, or NAME=FILE.
        assignments: settings of single features, NAME.KEY=VALUE.
        options: settings of the pass.

    Raises:
        PipelineError: an unknown name; weights, an encoder or a setting of a feature that is not in `names`; missing
            weights; an invalid setting.
    """
    weight_files = dict(map(_split_name, weights))
    if weight_files.get(ALL, RANDOM) != RANDOM:
        raise PipelineError(f"--weights {weight_files[ALL]}: name its network: NAME={weight_files[ALL]}")
    own_settings = _parse_assignments(assignments)
    for name in names:
        if name not in encoders and name not in EXTRACTORS:
            hint = nearest(name, [*encoders, *EXTRACTORS])
            raise PipelineError(f"--features {name}: no such extractor or encoder{hint}")
    for option, keys in (("--weights", weight_files), ("--encoder", encoders), ("--set", own_settings)):
        unused = sorted(set(keys) - {ALL, *names})
        if unused:
            raise PipelineError(f"{option} {unused[0]}: given, but {unused[0]} is not in --features")
    settings: dict[str, EncoderFeatureSettings | PublishedFeatureSettings] = {}
    for name in dict.fromkeys(names):
        values = {**options.model_dump(mode="json"), "max_rejected": 1.0, **own_settings.get(name, {})}
        if name in encoders:
            settings[name] = EncoderFeatureSettings.parse({"encoder": name, **values}, name)
            continue
        if name not in weight_files and ALL not in weight_files:
            request = EXTRACTORS[name].weights.request
            raise PipelineError(f"--features {name}: give --weights {name}=FILE (or {name}=random); it needs {request}")
        values |= {"extractor": name, "weights": weight_files.get(name, RANDOM)}
        settings[name] = EXTRACTORS[name].settings.parse(values, name)
    return settings


def _split_name(argument: str) -> tuple[str, str]:
    """Split NAME=VALUE; the name is empty if there is no `=`."""
    name, sign, value = argument.partition("=")
    return (name, value) if sign else (ALL, argument)


def _parse_assignments(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Parse NAME.KEY=VALUE; values are written as in YAML.

    Raises:
        PipelineError: an argument of another form, or a setting of the whole pass.
    """
    values: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        target, sign, text = assignment.partition("=")
        name, dot, key = target.partition(".")
        if not (name and dot and key and sign):
            raise PipelineError(f"--set {assignment}: expected NAME.KEY=VALUE, such as vggish.relu=false")
        if key in ShardPassSettings.model_fields:
            raise PipelineError(f"--set {assignment}: {key} applies to all features: --{key.replace('_', '-')} {text}")
        try:
            values.setdefault(name, {})[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise PipelineError(f"--set {assignment}: {text!r} is not a YAML value") from None
    return values


def _published_settings() -> list[type[PublishedFeatureSettings]]:
    """Return the settings models of the extractors, without repetitions."""
    return list(dict.fromkeys(spec.settings for spec in EXTRACTORS.values()))


def _own_settings(*models: type[PublishedFeatureSettings]) -> set[str]:
    """Return the settings of a single feature, without those of the pass and of the rule."""
    names = {name for model in models for name in model.model_fields}
    return names - set(ShardPassSettings.model_fields) - {"extractor", "weights"}


def _settings_help() -> str:
    """Describe the settings of single features, for `--help`."""
    lines = ["settings of one feature (--set NAME.KEY=VALUE):"]
    for model in _published_settings():
        names = [spec.name for spec in EXTRACTORS.values() if spec.settings is model]
        keys = _own_settings(model) - (
            _own_settings(PublishedFeatureSettings) if model is not PublishedFeatureSettings else set()
        )
        owners = "encoders, all extractors" if model is PublishedFeatureSettings else ", ".join(names)
        for key, setting in list_settings(model).items():
            if key in keys:
                lines.append(f"  {key} = {setting.type}  [{owners}]\n      {setting.description} ({setting.default})")
    return "\n".join(lines)


def _list(folder: Path) -> list[str]:
    width = max(map(len, EXTRACTORS))
    rows = [("", "name", "modality", "channels", "network")]
    rows += [
        (_mark(spec.weights, folder), spec.name, spec.modality, str(spec.dim), spec.description)
        for spec in EXTRACTORS.values()
    ]
    lines = [
        f"{mark:1} {name:<{width}}  {modality:<8}  {dim:>8}  {description}"
        for mark, name, modality, dim, description in rows
    ]
    return [*lines, f"* its weight file is in {folder}/; for the others, --show NAME says where to get it"]


def _show(spec: ExtractorSpec, folder: Path) -> list[str]:
    grid, unit = spec.grid, "samples" if spec.modality == "sound" else "frames"
    lines = [
        f"{spec.name}: {spec.description}",
        f"feature: {spec.dim} channels",
        f"windows: {grid.frames} {unit} at {grid.fps:g} per second ({grid.frames / grid.fps:.3g} s), one every "
        f"{grid.stride} {unit} ({grid.stride / grid.fps:.3g} s)",
        f"input: {spec.input_description}",
    ]
    for key, setting in list_settings(spec.settings).items():
        if key in _own_settings(spec.settings):
            lines.append(f"setting: {key} = {setting.type}: {setting.description} ({setting.default})")
    for file in (spec.weights, *spec.extra_weights):
        lines += [f"weights: {_mark(file, folder)} {file.request}", f"licence: {file.licence}"]
    return [*lines, f"* the file is in {folder}/"]


def _mark(weights: WeightFile, folder: Path) -> str:
    return "*" if (folder / weights.file).is_file() else " "


if __name__ == "__main__":
    raise SystemExit(main())
