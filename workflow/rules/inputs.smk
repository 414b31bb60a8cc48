"""What rules read that follows from the configuration, and what they tell their commands beside it.

Names of many files, then functions of a rule's wildcards in the order that the data flows; `settings` stands in
common.smk.
"""

import hashlib
import sys

from pipeline.config.climb_ladder import ENSEMBLE
from pipeline.config.propose_events import File, Learned
from pipeline.datasets.assemble import video_names
from pipeline.encoders.registry import weight_file


def shards(pattern: str):
    """Function of a rule's wildcards that gives `pattern` for every shard of the dataset."""

    def files(wildcards):
        count = settings(wildcards.dataset).build_corpus.shards
        return expand(
            pattern,
            dataset=wildcards.dataset,
            shard=[f"{shard:04d}" for shard in range(count)],
        )

    return files


def feature_shards(dataset: str, features: list[str]) -> list[str]:
    """Manifests of all shards of some features."""
    count = settings(dataset).build_corpus.shards
    return expand(
        "results/{dataset}/features/{feature}/{shard}/manifest.json",
        dataset=dataset,
        feature=features,
        shard=[f"{shard:04d}" for shard in range(count)],
    )


def captioner_features(wildcards) -> list[str]:
    """Feature shards that a captioner reads."""
    return feature_shards(
        wildcards.dataset,
        settings(wildcards.dataset).train_captioner[wildcards.captioner].features,
    )


def finished_captioner(
    dataset: str, name: str, seed: int | str, before: str = ""
) -> str:
    """Manifest of a captioner that is done with its training; `-xe`: with what is before `finetune_scst`."""
    scst = settings(dataset).train_captioner[name].self_critical and not before
    done = "scst" if scst else "xe"
    return f"results/{dataset}/captioners/{name}/{seed}/{done}/manifest.json"


def generated_videos(wildcards):
    """Manifest of the raw videos where the pipeline makes them itself; users' own videos are not tracked one by one."""
    folder = Path(settings(wildcards.dataset).build_corpus.videos)
    return (
        [(folder.parent / "manifest.json").as_posix()]
        if folder.parts[:1] == ("results",)
        else []
    )


def present_videos(wildcards):
    """What the folder of the user's raw videos holds, in short: new or other videos rebuild the corpus."""
    if generated_videos(wildcards):
        return ""
    folder = Path(settings(wildcards.dataset).build_corpus.videos)
    try:
        names = video_names(folder)
    except PipelineError:
        return ""  # the job itself tells what is wrong
    listed = [f"{name} {(folder / name).stat().st_size}" for name in names]
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()


def annotations(wildcards):
    """Annotation files that the section build_corpus names."""
    corpus = settings(wildcards.dataset).build_corpus
    mapped = [corpus.label_map] if corpus.label_map else []
    return [*corpus.actions, *corpus.captions, *mapped]


def initial_weights(wildcards):
    """File that an encoder starts from, where it starts from one; says how to fetch a published one that is not there."""
    weights = (
        settings(wildcards.dataset).pretrain_encoder[wildcards.encoder].initial_weights
    )
    return [plainly(weight_file, weights)] if weights else []


def processes(wildcards):
    """Processes, and GPUs, that train an encoder together."""
    return settings(wildcards.dataset).pretrain_encoder[wildcards.encoder].processes


def learned_concepts(wildcards):
    """The concepts, where an encoder learns them: a dataset without captions has none."""
    beta = settings(wildcards.dataset).pretrain_encoder[wildcards.encoder].beta
    return [f"results/{wildcards.dataset}/concepts.json"] if beta > 0 else []


def global_features(wildcards):
    """Global features that an encoder's region head sees, where it sees any."""
    chosen = (
        settings(wildcards.dataset).pretrain_encoder[wildcards.encoder].global_feature
    )
    return (
        [f"results/{wildcards.dataset}/globals/{chosen.feature}/manifest.json"]
        if chosen
        else []
    )


def feature_encoder(wildcards):
    """Our own encoder that makes a feature, if one does."""
    made = settings(wildcards.dataset).extract_features[wildcards.feature].root
    named = getattr(made, "encoder", None)
    return (
        [f"results/{wildcards.dataset}/encoders/{named}/manifest.json"] if named else []
    )


def feature_files(wildcards):
    """Weights of the published network that makes a feature (if one does, and they are not random); or given features."""
    made = settings(wildcards.dataset).extract_features[wildcards.feature].root
    file = getattr(made, "file", getattr(made, "weights", "random"))
    return [] if file == "random" else [file]


def proposer_features(wildcards):
    """Feature shards that a proposer reads; only learned ones read any."""
    chosen = settings(wildcards.dataset)
    proposer = chosen.propose_events[wildcards.proposer].root
    names = proposer.features if isinstance(proposer, Learned) else []
    return feature_shards(wildcards.dataset, names)


def given_proposals(wildcards):
    """The file that a proposer of kind `file` reads."""
    proposer = settings(wildcards.dataset).propose_events[wildcards.proposer].root
    return [proposer.path] if isinstance(proposer, File) else []


def scst_proposals(wildcards) -> list[str]:
    """The file of proposals that self-critical training matches to the events; none where it takes annotated times."""
    name = settings(wildcards.dataset).finetune_scst.proposals
    return (
        [] if name == "gt" else [f"results/{wildcards.dataset}/proposals/{name}.json"]
    )


def scst_threads(wildcards) -> int:
    """The training's own thread, and those of the processes that compute rewards."""
    return 1 + settings(wildcards.dataset).finetune_scst.reward_workers


def ensembled(wildcards) -> dict[str, list]:
    """Members of an ensemble: those of the section for `ensemble`, those of a rung of the ladder for others."""
    chosen = settings(wildcards.dataset)
    if wildcards.ensemble == ENSEMBLE:
        return {"members": chosen.select_captions.members}
    found = chosen.climb_ladder.members(wildcards.ensemble)
    if not found:
        sys.exit(
            f"error: climb_ladder has no rung {wildcards.ensemble!r} of several captioners"
        )
    return {"members": found}


def member_captions(wildcards):
    """Captions of every member, in the order of the config."""
    return [
        f"results/{wildcards.dataset}/captions/{member.label}-"
        f"{wildcards.split}-{wildcards.proposals}.json"
        for member in ensembled(wildcards)["members"]
    ]


def trained(wildcards):
    """Manifests of the encoders and captioners that were trained, for their curves."""
    chosen = settings(wildcards.dataset)
    folder = f"results/{wildcards.dataset}"
    captioners = [
        f"{member.captioner}/{member.seed}/{stage}"
        for member in chosen.select_captions.members
        for stage in (
            ("xe", "scst")
            if chosen.train_captioner[member.captioner].self_critical
            else ("xe",)
        )
    ]
    return [
        f"{folder}/encoders/{encoder}/manifest.json"
        for encoder in chosen.feature_encoders()
    ] + [f"{folder}/captioners/{captioner}/manifest.json" for captioner in captioners]


def compared(dataset: str, kind: str) -> list[str]:
    """What a comparison reads of each of its corpora: `probes` or `captions` of the arms, `control` of the floor."""
    chosen = settings(dataset).compare_encoders
    files = {
        "probes": [f"probes/{arm.feature}.json" for arm in chosen.arms],
        "captions": [
            f"captions/{arm.captioner}-{chosen.captioner_seed}-{chosen.split}-gt.json"
            for arm in chosen.arms
        ],
        "control": [
            f"captions/{arm.captioner}-{chosen.captioner_seed}-{chosen.split}-control.json"
            for arm in chosen.arms
            if arm.feature == chosen.floor
        ],
    }
    return [
        f"results/{dataset}_s{seed}/{file}"
        for seed in chosen.seeds
        for file in files[kind]
    ]


def climbed(wildcards) -> list[str]:
    """What a ladder reads of each of its corpora: the corpus, and captions of every rung."""
    chosen = settings(wildcards.dataset).climb_ladder
    files = [
        "corpus/manifest.json",
        *(
            f"captions/{rung.label}-{chosen.split}-{proposals}.json"
            for rung in chosen.rungs
            for proposals in ("gt", "learned")
        ),
    ]
    return [
        f"results/{dataset}/{file}"
        for dataset in chosen.datasets(wildcards.dataset)
        for file in files
    ]
