"""The option `--machine`: what it accepts, and the one plain error for everything else."""

from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.planning.machine import Machine, parse_machine
from pipeline.provenance.jobs import Job

CARDS = ("h100", "a100")


def job(gpus: int, device: str = "auto") -> Job:
    command = f'python -m pipeline.pretrain_encoder --config \'{{"device":"{device}"}}\''
    return Job("pretrain_encoder", {"dataset": "demo", "encoder": "wide"}, [], [Path("x")], None, "", command, gpus)


def test_a_machine_has_the_first_card_and_no_gpu_unless_it_says_so() -> None:
    assert parse_machine("gpus=8,cores=64", 1, CARDS) == Machine(cores=64, gpus=8, card="h100")
    assert parse_machine("cores = 2", 3, CARDS) == Machine(cores=2, gpus=0, card="h100", nodes=3)
    assert parse_machine("card=a100,cores=4,gpus=1", 1, CARDS).card == "a100"


@pytest.mark.parametrize(
    ("text", "nodes", "facts"),
    [
        ("gpus=eight,cores=64", 1, ("gpus", "'eight'")),
        ("gpus=8,cores=0", 1, ("cores", "'0'")),
        ("gpus=-1,cores=4", 1, ("gpus", "'-1'")),
        ("gpus=8,cores=6.5", 1, ("cores", "'6.5'")),
        ("gpus=8", 1, ("cores is missing",)),
        ("gpu=8,cores=64", 1, ("'gpu'", "'gpus'")),
        ("cores=64,memory=3", 1, ("'memory'", "card, cores, gpus")),
        ("cores=2,cores=4", 1, ("cores is there twice",)),
        ("64", 1, ("'64'", "KEY=VALUE")),
        ("cores=64,", 1, ("''", "KEY=VALUE")),
        ("gpus=1,cores=64,card=v100", 1, ("'v100'", "h100, a100")),
        ("cores=64", 0, ("--nodes 0",)),
    ],
)
def test_a_malformed_machine_is_one_plain_error(text: str, nodes: int, facts: tuple[str, ...]) -> None:
    with pytest.raises(PipelineError) as error:
        parse_machine(text, nodes, CARDS)
    assert "\n" not in str(error.value)
    for fact in facts:
        assert fact in str(error.value)


def test_a_job_that_needs_more_gpus_than_a_node_has_is_an_error() -> None:
    machine = Machine(cores=8, gpus=2, card="h100", nodes=9)
    machine.check_jobs([job(0), job(1), job(2)])
    with pytest.raises(PipelineError, match=r"pretrain_encoder wide needs 4 GPUs .*gpus=2"):
        machine.check_jobs([job(1), job(4)])


def test_without_gpus_only_a_job_that_insists_on_one_is_an_error() -> None:
    machine = Machine(cores=8, gpus=0, card="h100")
    machine.check_jobs([job(2)])
    with pytest.raises(PipelineError, match=r"pretrain_encoder wide needs 1 GPU .*device: auto"):
        machine.check_jobs([job(1, device="cuda")])
