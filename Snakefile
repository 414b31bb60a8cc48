"""From raw videos and annotations to dense captions and their scores.

    snakemake --cores 2 results/demo_test_meteor.json                        the whole road, small
    snakemake --cores 32 --resources gpu=8 results/anet_test_meteor.json     the paper

The dataset's name in the target chooses config/datasets/<name>.yaml. Without a target: the demo and its report.
"""

from snakemake.utils import min_version

min_version("9.20")


# The software of every rule: the Dockerfile's image, as a file. Used with --software-deployment-method apptainer only.
container: "sa-tsp.sif"


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"


# Before the first job, not on day three: what is missing on this machine (Java, ffmpeg, a place to write), and its cure.
onstart:
    shell("python -m pipeline.commands.doctor")


# After an error, or Ctrl-C: what is done stays done, and training goes on from its last state.
onerror:
    print(f"To go on from here: {same_command()}", file=sys.stderr)


rule all:
    """The demo: its score and its report."""
    input:
        "results/demo_test_meteor.json",
        "results/demo/report/index.html",


# In the order that the data flows.
include: "workflow/rules/corpus.smk"
include: "workflow/rules/video.smk"
include: "workflow/rules/concepts.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/proposals.smk"
include: "workflow/rules/caption.smk"
include: "workflow/rules/ensemble.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/study.smk"


# A name that is no rule's, in a profile or on the command line, would set nothing, and not be told.
for name in {
    *workflow.resource_settings.overwrite_resources,
    *workflow.resource_settings.overwrite_threads,
} - {found.name for found in workflow.rules}:
    sys.exit(
        f"error: set-resources or set-threads, in a profile or on the command line: there is no rule {name!r}"
    )
