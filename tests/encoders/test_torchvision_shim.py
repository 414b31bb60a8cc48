"""torchvision can be imported whatever torch stands beside it."""

import subprocess
import sys

IMPORT = """
import torch
from pipeline.encoders import torchvision_shim
if {pretend}:
    torchvision_shim._extension_loads = lambda: True
models = torchvision_shim.torchvision("torchvision.models.video")
print(models.r3d_18(weights=None).eval()(torch.zeros(1, 3, 2, 16, 16)).shape[1])
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_models_of_torchvision_work_in_a_fresh_process() -> None:
    done = run(IMPORT.format(pretend=False))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "400"


def test_the_operators_are_declared_only_where_the_extension_cannot_load() -> None:
    """What the module is for: remove it when this fails because a plain import has begun to work."""
    loads = run("from pipeline.encoders.torchvision_shim import _extension_loads; print(_extension_loads())")
    plain = run("import torchvision")
    assert loads.stdout.strip() in {"True", "False"}
    assert (plain.returncode == 0) == (loads.stdout.strip() == "True")
    pretending = run(IMPORT.format(pretend=True))
    assert pretending.returncode == plain.returncode
    if plain.returncode != 0:
        assert "operator torchvision::nms does not exist" in plain.stderr


def test_it_may_be_asked_for_twice() -> None:
    code = "from pipeline.encoders.torchvision_shim import torchvision as t; t(); print(t().__name__)"
    assert run(code).stdout.strip() == "torchvision"
