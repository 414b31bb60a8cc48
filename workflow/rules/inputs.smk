"""The inputs of rules that depend on the configuration, as functions of a rule's wildcards.

The functions come in the order of the data flow; `settings` is in common.smk.
"""

import hashlib
import sys

from pipeline.config.compare_systems import ENSEMBLE, collect_ensembles
from pipeline.config.encoders import initial_weights_path
from pipeline.config.extract_features import RecognizerFeatureSettings
from pipeline.config.propose_events import FileProposalSettings, LearnedProposalSettings
from pipeline.datasets.annotation_files import list_sources
from pipeline.datasets.video_files import list_folder


def shards(pattern: str):
    """Return the function that expands `pattern` for every shard of the dataset."""

    def files(wildcards):
        count = settings(wildcards.dataset).build_corpus.shards
        return expand(
            pattern,
            dataset=wildcards.dataset,
            shard=[f"{shard:04d}" for shard in range(count)],
        )

    return files


def feature_shards(dataset: str, features: list[str]) -> list[str]:
    """Return the manifests of all shards of some features."""
    count = settings(dataset).build_corpus.shards
    # Snakemake's `expand` takes ten times as long, and a plan of 256 shards has 30,000 of these paths.
    return [
        f"results/{dataset}/features/{feature}/{shard:04d}/manifest.json"
        for feature in features
        for shard in range(count)
    ]


def captioner_features(wildcards) -> list[str]:
    """Return the feature shards that a captioner reads."""
    return feature_shards(
        wildcards.dataset,
        settings(wildcards.dataset)
        .train_captioner[wildcards.captioner]
        .root.feature_names,
    )


def captioner_files(wildcards) -> list[str]:
    """Return the files beside features and vocabulary that the training of a captioner reads, for example GloVe's."""
    captioner = settings(wildcards.dataset).train_captioner[wildcards.captioner].root
    return captioner.architecture_settings.input_files


def captioner_teacher(wildcards) -> list[str]:
    """Return the manifest of the captioner whose weights the training of another starts from; most have none."""
    captioner = settings(wildcards.dataset).train_captioner[wildcards.captioner].root
    name = captioner.architecture_settings.teacher_name
    return (
        [
            f"results/{wildcards.dataset}/captioners/{name}/{wildcards.seed}/xe/manifest.json"
        ]
        if name
        else []
    )


def finished_captioner(
    dataset: str, name: str, seed: int | str, before: str = ""
) -> str:
    """Return the manifest of a trained captioner; `-xe`: as it was before `finetune_scst`."""
    scst = settings(dataset).train_captioner[name].root.self_critical and not before
    phase = "scst" if scst else "xe"
    return f"results/{dataset}/captioners/{name}/{seed}/{phase}/manifest.json"


def generated_videos(wildcards):
    """Return the manifest of synthetic raw videos; a user's own videos are not tracked one by one."""
    folder = Path(settings(wildcards.dataset).build_corpus.videos)
    is_generated = folder.parts[:1] == ("results",)
    return [(folder.parent / "manifest.json").as_posix()] if is_generated else []


def present_videos(wildcards):
    """Return a digest of the names and sizes of the user's raw videos: other videos rebuild the corpus."""
    if generated_videos(wildcards):
        return ""
    folder = Path(settings(wildcards.dataset).build_corpus.videos)
    try:
        names = list_folder(folder).names
    except PipelineError:
        return ""  # the job reports the error
    listed = [f"{name} {(folder / name).stat().st_size}" for name in names]
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()


def annotations(wildcards):
    """Return the annotation files that the section build_corpus names; of a folder, the files in it."""
    corpus = settings(wildcards.dataset).build_corpus
    label_map = [corpus.label_map] if corpus.label_map else []
    return [*map(str, or_exit(list_sources, corpus)), *label_map]


def initial_weights(wildcards):
    """Return the file of an encoder's initial weights, if it has one; a missing published file is an error."""
    weights = (
        settings(wildcards.dataset).pretrain_encoder[wildcards.encoder].initial_weights
    )
    return [or_exit(initial_weights_path, weights)] if weights else []


def world_size(wildcards):
    """Return the number of processes (and GPUs) that train an encoder together."""
    return settings(wildcards.dataset).pretrain_encoder[wildcards.encoder].world_size


def learned_concepts(wildcards):
    """Return the concepts if an encoder learns them; a dataset without captions has none."""
    encoder = settings(wildcards.dataset).pretrain_encoder[wildcards.encoder]
    concepts = f"results/{wildcards.dataset}/concepts.json"
    return [concepts] if encoder.learns_concepts else []


def global_features(wildcards):
    """Return the video features that an encoder's region head sees, if it sees any."""
    encoder = settings(wildcards.dataset).pretrain_encoder[wildcards.encoder]
    if not encoder.global_feature:
        return []
    name = encoder.global_feature.feature
    return [f"results/{wildcards.dataset}/video_features/{name}/manifest.json"]


def feature_encoder(wildcards):
    """Return the encoder or recognizer, trained here, that makes a feature, if one does."""
    feature = settings(wildcards.dataset).extract_features[wildcards.feature].root
    if isinstance(feature, RecognizerFeatureSettings):
        dataset = feature.dataset or wildcards.dataset
        return [f"results/{dataset}/recognizers/{feature.recognizer}/manifest.json"]
    name = getattr(feature, "encoder", None)
    return (
        [f"results/{wildcards.dataset}/encoders/{name}/manifest.json"] if name else []
    )


def feature_files(wildcards):
    """Return the weight file of a published network, or the file of an imported feature."""
    feature = settings(wildcards.dataset).extract_features[wildcards.feature].root
    file = getattr(feature, "file", getattr(feature, "weights", "random"))
    return [] if file == "random" else [file]


def proposer_features(wildcards):
    """Return the feature shards that a proposer is trained on."""
    proposer = settings(wildcards.dataset).train_proposer[wildcards.proposer].root
    return feature_shards(wildcards.dataset, proposer.feature_names)


def proposer_captioner(wildcards) -> list[str]:
    """Return the manifest of the captioner whose encoder a proposer takes over; most proposers have their own."""
    proposer = settings(wildcards.dataset).train_proposer[wildcards.proposer].root
    encoder = proposer.trained_encoder
    if encoder is None:
        return []
    folder = f"results/{wildcards.dataset}/captioners"
    return [f"{folder}/{encoder.captioner}/{encoder.seed}/xe/manifest.json"]


def trained_proposer(wildcards):
    """Return the manifest of the proposer of learned proposals; other proposals have none."""
    proposals = settings(wildcards.dataset).propose_events[wildcards.proposals].root
    if not isinstance(proposals, LearnedProposalSettings):
        return []
    return [f"results/{wildcards.dataset}/proposers/{proposals.proposer}/manifest.json"]


def proposal_features(wildcards):
    """Return the feature shards that learned proposals are made from; other proposals need none."""
    configuration = settings(wildcards.dataset)
    proposals = configuration.propose_events[wildcards.proposals].root
    if not isinstance(proposals, LearnedProposalSettings):
        return []
    proposer = configuration.train_proposer[proposals.proposer].root
    return feature_shards(wildcards.dataset, proposer.feature_names)


def proposal_file(wildcards):
    """Return the file of proposals of kind `file`; other proposals have none."""
    proposals = settings(wildcards.dataset).propose_events[wildcards.proposals].root
    return [proposals.path] if isinstance(proposals, FileProposalSettings) else []


def scst_proposals(wildcards) -> list[str]:
    """Return the proposals that self-critical training matches to the events; none if it uses annotated times."""
    name = settings(wildcards.dataset).finetune_scst.proposals
    return (
        [] if name == "gt" else [f"results/{wildcards.dataset}/proposals/{name}.json"]
    )


def ensemble_members(wildcards) -> dict[str, list]:
    """Return the members of an ensemble: those of `select_captions`, or those of a system in `compare_systems`."""
    configuration = settings(wildcards.dataset)
    if wildcards.ensemble == ENSEMBLE:
        return {"members": configuration.select_captions.members}
    ensembles = collect_ensembles(configuration.compare_systems.values())
    members = ensembles.get(wildcards.ensemble)
    if members is None:
        sys.exit(
            f"error: compare_systems has no system {wildcards.ensemble!r} with several members"
        )
    return {"members": members}


def member_captions(wildcards):
    """Return the caption files of all members, in the order of the configuration."""
    return [
        f"results/{wildcards.dataset}/captions/{member.label}-"
        f"{wildcards.split}-{wildcards.proposals}.json"
        for member in ensemble_members(wildcards)["members"]
    ]


def training_manifests(wildcards):
    """Return the manifests of the trained encoders, proposers and captioners, for their training curves."""
    configuration = settings(wildcards.dataset)
    folder = f"results/{wildcards.dataset}"
    captioners = [
        f"{member.captioner}/{member.seed}/{stage}"
        for member in configuration.select_captions.members
        for stage in (
            ("xe", "scst")
            if configuration.train_captioner[member.captioner].root.self_critical
            else ("xe",)
        )
    ]
    learned = configuration.propose_events["learned"].root
    is_learned = isinstance(learned, LearnedProposalSettings)
    proposers = [learned.proposer] if is_learned else []
    return [
        *(
            f"{folder}/encoders/{name}/manifest.json"
            for name in configuration.feature_encoders()
        ),
        *(f"{folder}/proposers/{name}/manifest.json" for name in proposers),
        *(f"{folder}/captioners/{name}/manifest.json" for name in captioners),
    ]
