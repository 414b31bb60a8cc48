"""From raw videos and annotations to dense captions and their scores.

    snakemake --cores 2 results/demo_test_meteor.json                        the full pipeline, small
    snakemake --cores 32 --resources gpu=8 results/anet_test_meteor.json     the paper

The name of the dataset in the target selects config/datasets/<name>.yaml. The default target is the demo.
"""

from snakemake.utils import min_version

from pipeline.monitor.handler import monitor_run
from pipeline.monitor.logs import move_unwritable_logs
from pipeline.monitor.scheduler import limit_reevaluations

min_version("9.20")


# The software of every rule: the image of the Dockerfile. Only used with --software-deployment-method apptainer.
container: "sa-tsp.sif"


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/localization_inputs.smk"
include: "workflow/rules/study_inputs.smk"
include: "workflow/rules/recognition_inputs.smk"
include: "workflow/rules/clips_inputs.smk"


# Show the progress of the jobs: on a terminal live, elsewhere as a line a minute.
monitor = monitor_run(workflow)


# Check the machine (Java, ffmpeg, a writable folder) before the first job instead of on day three.
onstart:
    limit_reevaluations(workflow.scheduler)
    shell("python -m pipeline.commands doctor")


# After an error or Ctrl-C the same command resumes: finished jobs stay finished, training resumes from its checkpoint.
onerror:
    if monitor:
        monitor.close()
    print(f"To resume: {same_command()}", file=sys.stderr)


rule all:
    """The demo: its scores and its report."""
    input:
        "results/demo_test_meteor.json",
        "results/demo/report/index.html",


# In the order of the data flow.
include: "workflow/rules/corpus.smk"
include: "workflow/rules/video.smk"
include: "workflow/rules/concepts.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/proposals.smk"
include: "workflow/rules/localization.smk"
include: "workflow/rules/caption.smk"
include: "workflow/rules/ensemble.smk"
include: "workflow/rules/recognition.smk"
include: "workflow/rules/recognition_study.smk"
include: "workflow/rules/clips.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/study.smk"


move_unwritable_logs(workflow, requested_datasets)


# Snakemake ignores unknown names of rules in a profile or on the command line, so they are reported here.
for name in {
    *workflow.resource_settings.overwrite_resources,
    *workflow.resource_settings.overwrite_threads,
} - {item.name for item in workflow.rules}:
    sys.exit(
        f"error: set-resources or set-threads, in a profile or on the command line: there is no rule {name!r}"
    )
