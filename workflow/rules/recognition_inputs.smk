"""The inputs of the rules of recognition, as functions of a rule's wildcards."""


def label_files(wildcards) -> list[str]:
    """Return the files that label_clips reads: templates, classes, groups."""
    section = settings(wildcards.dataset).label_clips
    files = [*section.templates, section.classes, section.groups]
    return [file for file in files if file is not None]


def recognizer_processes(wildcards) -> int:
    """Return the number of processes (and GPUs) that train a recognizer together."""
    return settings(wildcards.dataset).train_recognizer[wildcards.recognizer].world_size


def evaluation_threads(wildcards) -> int:
    """Return the number of threads of METEOR."""
    return settings(wildcards.dataset).evaluate_recognition.workers


def recognizer_predictions(wildcards) -> list[str]:
    """Return the predictions of the recognizers that are scored: one, those of the configuration, or all."""
    configuration = settings(wildcards.dataset)
    names = configuration.evaluate_recognition.recognizers or list(
        configuration.train_recognizer
    )
    if wildcards.recognized:
        names = [wildcards.recognized.removeprefix("-")]
    if not names:
        sys.exit(
            f"error: train_recognizer has no entry for {wildcards.dataset}: add one to its configuration"
        )
    return [
        f"results/{wildcards.dataset}/recognition/{name}/{wildcards.split}/manifest.json"
        for name in names
    ]


def transferred_features(wildcards) -> list[str]:
    """Return the names of the features that the transfer compares; all if the configuration names none."""
    configuration = settings(wildcards.dataset)
    return configuration.transfer_features.features or list(
        configuration.extract_features
    )
