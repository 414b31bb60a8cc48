"""The weight files of published networks that a model reads: in its folder, or in a folder that the user names."""

from pathlib import Path

from pipeline.bundle.description import ModelFeature, ModelWeightFile
from pipeline.config.extractors import RANDOM
from pipeline.errors import PipelineError
from pipeline.io.atomic import sha256


def find_weights(folder: Path, name: str, feature: ModelFeature, weights: Path) -> str:
    """Return the value of the setting `weights` of a published network: its main weight file, or `random`.

    Args:
        folder: folder of the model.
        name: name of the feature.
        feature: the feature.
        weights: folder of the files that the model does not hold.

    Raises:
        PipelineError: a file is missing, or its sha256 is not that of the file of the training.
    """
    if not feature.weights:
        return RANDOM
    paths = [find_weight_file(folder, name, file, weights) for file in feature.weights]
    return str(paths[0])


def find_weight_file(folder: Path, name: str, file: ModelWeightFile, weights: Path) -> Path:
    """Return the path of a weight file; see `find_weights`."""
    if file.is_copied:
        return folder / "weights" / name / file.file
    path = weights / file.file
    origin = f"get it from {file.url}" if file.url else "ask the authors of the model for it"
    if not path.is_file():
        raise PipelineError(
            f"{path}: no such weight file; the feature {name} of the model {folder} needs it (sha256 {file.sha256}): "
            f"{origin}, and give its folder with --weights"
        )
    if sha256(path) != file.sha256:
        raise PipelineError(
            f"{path}: another file than the one that the model {folder} was trained with (sha256 {file.sha256}); "
            f"{origin}"
        )
    return path
