"""The inputs of the rules of localization.smk, as functions of a rule's wildcards.

The functions come in the order of the data flow; `settings` is in common.smk, `feature_shards` in inputs.smk.
"""

from pipeline.config.classify_videos import (
    FileClassifierSettings,
    LearnedClassifierSettings,
)


def classifier_features(wildcards) -> list[str]:
    """Return the pooled features that a classifier of videos is trained on, in their order; a file needs none."""
    classifier = settings(wildcards.dataset).classify_videos[wildcards.classifier].root
    if not isinstance(classifier, LearnedClassifierSettings):
        return []
    return [
        f"results/{wildcards.dataset}/video_features/{name}/manifest.json"
        for name in classifier.features
    ]


def classifier_files(wildcards) -> list[str]:
    """Return the file of class scores and that of the names of its classes; a learned classifier has none."""
    classifier = settings(wildcards.dataset).classify_videos[wildcards.classifier].root
    if not isinstance(classifier, FileClassifierSettings):
        return []
    return [file for file in (classifier.path, classifier.classes) if file is not None]


def localizer_features(wildcards) -> list[str]:
    """Return the feature shards that a localizer is trained on."""
    localizer = settings(wildcards.dataset).train_localizer[wildcards.localizer].root
    return feature_shards(wildcards.dataset, localizer.features)


def localizer_proposals(wildcards) -> list[str]:
    """Return the proposals that a localizer classifies; most localizers read none."""
    localizer = settings(wildcards.dataset).train_localizer[wildcards.localizer].root
    return (
        [f"results/{wildcards.dataset}/proposals/{localizer.proposals}.json"]
        if localizer.proposals
        else []
    )


def fused_localizers(wildcards) -> dict:
    """Return the settings of the localizers of detections by name, in their order."""
    configuration = settings(wildcards.dataset)
    fused = configuration.localize_actions[wildcards.detections].localizers
    return {
        entry.localizer: configuration.train_localizer[entry.localizer].root
        for entry in fused
    }


def trained_localizers(wildcards) -> list[str]:
    """Return the manifests of the localizers of detections."""
    return [
        f"results/{wildcards.dataset}/localizers/{name}/manifest.json"
        for name in fused_localizers(wildcards)
    ]


def detection_features(wildcards) -> list[str]:
    """Return the feature shards that the localizers of detections read."""
    features = [
        feature
        for localizer in fused_localizers(wildcards).values()
        for feature in localizer.features
    ]
    return feature_shards(wildcards.dataset, sorted(set(features)))


def detection_proposals(wildcards) -> list[str]:
    """Return the proposals that the first localizer of detections classifies; most localizers read none."""
    first = next(iter(fused_localizers(wildcards).values()))
    return (
        [f"results/{wildcards.dataset}/proposals/{first.proposals}.json"]
        if first.proposals
        else []
    )


def detection_classes(wildcards) -> list[str]:
    """Return the class scores of the videos of detections; localizers with classes need none."""
    name = settings(wildcards.dataset).localize_actions[wildcards.detections].classifier
    return [f"results/{wildcards.dataset}/video_classes/{name}.json"] if name else []


def scored_detections(wildcards) -> str:
    """Return the detections whose mAP or average recall is computed."""
    section = settings(wildcards.dataset).evaluate_localization
    name = getattr(section, wildcards.task)
    return f"results/{wildcards.dataset}/detections/{name}.json"


def analyzed_detections(wildcards) -> list[str]:
    """Return the detections that are analyzed."""
    names = settings(wildcards.dataset).analyze_localization.detections
    return [f"results/{wildcards.dataset}/detections/{name}.json" for name in names]


def analyzed_features(wildcards) -> list[str]:
    """Return the feature shards whose similarity is analyzed."""
    names = settings(wildcards.dataset).analyze_localization.features
    return feature_shards(wildcards.dataset, names)


def studied_files(wildcards) -> list[str]:
    """Return what the study of localization reads: comparisons, and of each dataset corpus, detections and features."""
    study = settings(wildcards.dataset).compare_localization
    files = [f"results/{wildcards.dataset}_{name}.json" for name in study.comparisons]
    entries = {entry for system in study.systems for entry in system.detection_entries}
    features = {
        system.feature for system in study.systems if system.feature is not None
    }
    for dataset in study.datasets(wildcards.dataset):
        files.append(f"results/{dataset}/corpus/manifest.json")
        files += [
            f"results/{dataset}/detections/{entry}.json" for entry in sorted(entries)
        ]
        files += feature_shards(dataset, sorted(features))
    return files
