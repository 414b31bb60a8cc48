"""The inputs of the rules of clips.smk, as functions of a rule's wildcards.

`settings` is in common.smk, `shards` in inputs.smk.
"""


def word_map_feature(wildcards):
    """Return the entry of the feature in whose frames `analyze_clips` maps words; None: it maps none."""
    name = settings(wildcards.dataset).analyze_clips.word_maps
    return settings(wildcards.dataset).extract_features[name] if name else None


def word_map_encoder(wildcards):
    """Return the encoder that makes the feature of word maps, or its weight file."""
    feature = word_map_feature(wildcards)
    if feature is None:
        return []
    encoder = getattr(feature.root, "encoder", None)
    if encoder:
        return [f"results/{wildcards.dataset}/encoders/{encoder}/manifest.json"]
    weights = getattr(feature.root, "weights", "random")
    return [] if weights == "random" else [weights]


def word_map_videos(wildcards):
    """Return the re-encoded shards, which word maps need."""
    if word_map_feature(wildcards) is None:
        return []
    return shards("results/{dataset}/video/{shard}/manifest.json")(wildcards)


def word_map_arguments(wildcards, input) -> list[str]:
    """Return the arguments of `analyze_clips` for word maps."""
    feature = word_map_feature(wildcards)
    if feature is None:
        return []
    words = ["--feature", feature.to_json()]
    words += ["--videos", f"results/{wildcards.dataset}/video"]
    return words + (
        ["--encoder", *input.encoder] if hasattr(feature.root, "encoder") else []
    )


def clip_captions(wildcards) -> str:
    """Return the captions of whole clips that are scored: those of one captioner, or those of the ensemble."""
    name = wildcards.member.removeprefix("-") or ENSEMBLE
    return f"results/{wildcards.dataset}/captions/{name}-{wildcards.split}-gt.json"


def control_captions(wildcards) -> list[str]:
    """Return the captions of the control, which belong to the ensemble; a captioner alone has none."""
    if wildcards.member:
        return []
    return [
        f"results/{wildcards.dataset}/captions/{ENSEMBLE}-{wildcards.split}-control.json"
    ]
