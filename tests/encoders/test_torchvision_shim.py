"""Tests of importing torchvision with any build of torch."""

import subprocess
import sys

import pytest

IMPORT = """
import torch
from pipeline.encoders import torchvision_shim
if {pretend}:
    torchvision_shim._extension_loads = lambda: True
models = torchvision_shim.import_torchvision("torchvision.models.video")
print(models.r3d_18(weights=None).eval()(torch.zeros(1, 3, 2, 16, 16)).shape[1])
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_import_torchvision_gives_working_models_in_a_fresh_process() -> None:
    done = run(IMPORT.format(pretend=False))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "400"


@pytest.mark.campaign
def test_import_torchvision_declares_operators_only_if_the_extension_cannot_load() -> None:
    """If this fails because a plain import works with any torch, remove the module."""
    loads = run("from pipeline.encoders.torchvision_shim import _extension_loads; print(_extension_loads())")
    plain = run("import torchvision")
    assert loads.stdout.strip() in {"True", "False"}
    assert (plain.returncode == 0) == (loads.stdout.strip() == "True")
    without_operators = run(IMPORT.format(pretend=True))
    assert without_operators.returncode == plain.returncode
    if plain.returncode != 0:
        assert "operator torchvision::nms does not exist" in plain.stderr


@pytest.mark.campaign
def test_import_torchvision_may_be_called_twice() -> None:
    code = "from pipeline.encoders.torchvision_shim import import_torchvision as t; t(); print(t().__name__)"
    assert run(code).stdout.strip() == "torchvision"
