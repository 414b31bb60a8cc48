"""Published files fit by their tensor names; files that do not fit, or are damaged, are refused."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.extraction import build
from safetensors.torch import save_file
from torch import Tensor

from pipeline.config.extractors import RAFT, WeightFile
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.encoders.losses import NumLabels
from pipeline.encoders.model import PretrainingModel, write_model
from pipeline.encoders.pretrained import read_encoder
from pipeline.encoders.r2plus1d import build_encoder
from pipeline.encoders.torchvision_shim import import_torchvision
from pipeline.encoders.weight_files import read_state_dict
from pipeline.errors import PipelineError
from pipeline.features.networks import i3d
from pipeline.features.networks.video_encoder import VideoEncoderExtractor
from pipeline.features.time_grid import ClipGrid
from pipeline.provenance.manifest import write_manifest

Shapes = dict[str, tuple[int, ...]]
STATISTICS = ("weight", "bias", "running_mean", "running_var")


def batch_norm(name: str, width: int, *, counted: bool = True) -> Shapes:
    shapes: Shapes = {f"{name}.{part}": (width,) for part in STATISTICS}
    return shapes | ({f"{name}.num_batches_tracked": ()} if counted else {})


# A second copy of the papers' tables, with the names of the conversions.
I3D_MIXED = {
    "3b": (192, 64, 96, 128, 16, 32, 32),
    "3c": (256, 128, 128, 192, 32, 96, 64),
    "4b": (480, 192, 96, 208, 16, 48, 64),
    "4c": (512, 160, 112, 224, 24, 64, 64),
    "4d": (512, 128, 128, 256, 24, 64, 64),
    "4e": (512, 112, 144, 288, 32, 64, 64),
    "4f": (528, 256, 160, 320, 32, 128, 128),
    "5b": (832, 256, 160, 320, 32, 128, 128),
    "5c": (832, 384, 192, 384, 48, 128, 128),
}
I3D_BRANCHES = {  # name in pytorch-i3d: name in kinetics_i3d_pytorch, columns of input and output channels, size
    "b0": ("branch_0", 0, 1, 1),
    "b1a": ("branch_1.0", 0, 2, 1),
    "b1b": ("branch_1.1", 2, 3, 3),
    "b2a": ("branch_2.0", 0, 4, 1),
    "b2b": ("branch_2.1", 4, 5, 3),
    "b3b": ("branch_3.1", 0, 6, 1),
}


def i3d_units(*, capital: bool) -> Iterator[tuple[str, int, int, int]]:
    yield "Conv3d_1a_7x7", 3, 64, 7
    yield "Conv3d_2b_1x1", 64, 64, 1
    yield "Conv3d_2c_3x3", 64, 192, 3
    for block, columns in I3D_MIXED.items():
        for short_name, (long_name, incoming, outgoing, size) in I3D_BRANCHES.items():
            yield f"Mixed_{block}.{short_name if capital else long_name}", columns[incoming], columns[outgoing], size


def pytorch_i3d() -> Shapes:
    shapes: Shapes = {"logits.conv3d.weight": (400, 1024, 1, 1, 1), "logits.conv3d.bias": (400,)}
    for name, incoming, outgoing, size in i3d_units(capital=True):
        shapes |= {f"{name}.conv3d.weight": (outgoing, incoming, size, size, size)}
        shapes |= batch_norm(f"{name}.bn", outgoing, counted=False)
    return shapes


def kinetics_i3d_pytorch() -> Shapes:
    shapes: Shapes = {"conv3d_0c_1x1.conv3d.weight": (400, 1024, 1, 1, 1), "conv3d_0c_1x1.conv3d.bias": (400,)}
    for capital, incoming, outgoing, size in i3d_units(capital=False):
        name = capital[0].lower() + capital[1:]
        shapes |= {f"{name}.conv3d.weight": (outgoing, incoming, size, size, size)}
        shapes |= batch_norm(f"{name}.batch3d", outgoing, counted=False)
    return shapes


def pytorchvideo_slowfast() -> Shapes:
    shapes: Shapes = {"blocks.6.proj.weight": (400, 2304), "blocks.6.proj.bias": (400,)}
    for path, (width, time) in enumerate(((64, 1), (8, 5))):
        name = f"blocks.0.multipathway_blocks.{path}"
        shapes |= {f"{name}.conv.weight": (width, 3, time, 7, 7), **batch_norm(f"{name}.norm", width)}
    for stage, fused in enumerate((8, 32, 64, 128)):
        name = f"blocks.{stage}.multipathway_fusion"
        shapes |= {f"{name}.conv_fast_to_slow.weight": (2 * fused, fused, 7, 1, 1)}
        shapes |= batch_norm(f"{name}.norm", 2 * fused)
    for stage, depth in enumerate((3, 4, 6, 3)):
        for path, share in enumerate((1, 8)):
            width, inner = 256 * 2**stage // share, 64 * 2**stage // share
            before = 64 if stage == 0 else 128 * 2**stage
            first = before + before // 4 if path == 0 else before // 8
            time = 1 if path == 0 and stage < 2 else 3
            for block in range(depth):
                name = f"blocks.{stage + 1}.multipathway_blocks.{path}.res_blocks.{block}"
                incoming = first if block == 0 else width
                shapes |= {
                    f"{name}.branch2.conv_a.weight": (inner, incoming, time, 1, 1),
                    f"{name}.branch2.conv_b.weight": (inner, inner, 1, 3, 3),
                    f"{name}.branch2.conv_c.weight": (width, inner, 1, 1, 1),
                    **batch_norm(f"{name}.branch2.norm_a", inner),
                    **batch_norm(f"{name}.branch2.norm_b", inner),
                    **batch_norm(f"{name}.branch2.norm_c", width),
                }
                if block == 0:
                    shapes |= {f"{name}.branch1_conv.weight": (width, incoming, 1, 1, 1)}
                    shapes |= batch_norm(f"{name}.branch1_norm", width)
    return shapes


def torchvggish() -> Shapes:
    convolutions = {0: (64, 1), 3: (128, 64), 6: (256, 128), 8: (256, 256), 11: (512, 256), 13: (512, 512)}
    shapes: Shapes = {f"features.{at}.weight": (*widths, 3, 3) for at, widths in convolutions.items()}
    shapes |= {f"features.{at}.bias": widths[:1] for at, widths in convolutions.items()}
    linear = {0: (4096, 12_288), 2: (4096, 4096), 4: (128, 4096)}
    shapes |= {f"embeddings.{at}.weight": widths for at, widths in linear.items()}
    return shapes | {f"embeddings.{at}.bias": widths[:1] for at, widths in linear.items()}


INCEPTION = {  # input; 1 x 1; 3 x 3 reduced, 3 x 3; double reduced, double; projection
    "3a": (192, 64, 64, 64, 64, 96, 32),
    "3b": (256, 64, 64, 96, 64, 96, 64),
    "3c": (320, 0, 128, 160, 64, 96, 0),
    "4a": (576, 224, 64, 96, 96, 128, 128),
    "4b": (576, 192, 96, 128, 96, 128, 128),
    "4c": (576, 160, 128, 160, 128, 160, 128),
    "4d": (608, 96, 128, 192, 160, 192, 128),
    "4e": (608, 0, 128, 192, 192, 256, 0),
    "5a": (1056, 352, 192, 320, 160, 224, 128),
    "5b": (1024, 352, 192, 320, 192, 224, 128),
}


def tsn_pytorch(channels: int) -> Shapes:
    units = [("conv1_7x7_s2", channels, 64, 7), ("conv2_3x3_reduce", 64, 64, 1), ("conv2_3x3", 64, 192, 3)]
    for block, (incoming, one, reduced, three, double_in, double, projected) in INCEPTION.items():
        of_block = [
            ("1x1", incoming, one, 1),
            ("3x3_reduce", incoming, reduced, 1),
            ("3x3", reduced, three, 3),
            ("double_3x3_reduce", incoming, double_in, 1),
            ("double_3x3_1", double_in, double, 3),
            ("double_3x3_2", double, double, 3),
            ("pool_proj", incoming, projected, 1),
        ]
        units += [(f"inception_{block}_{name}", *rest) for name, *rest in of_block if rest[1]]  # type: ignore[misc]
    shapes: Shapes = {}
    for name, before, after, size in units:
        shapes |= {f"{name}.weight": (after, before, size, size), f"{name}.bias": (after,)}
        # Caffe's statistics have a first axis of length one.
        shapes |= {f"{name}_bn.{part}": (1, after) for part in STATISTICS}
    return shapes


def state(shapes: Shapes) -> dict[str, Tensor]:
    """Tensors filled with one number each, stored once: small files with the shapes of large ones."""
    return {
        name: torch.tensor(float(index)).expand(shape) for index, (name, shape) in enumerate(shapes.items(), start=1)
    }


def flow_of(shapes: Shapes) -> Shapes:
    name = next(iter(name for name in shapes if name.lower() == "conv3d_1a_7x7.conv3d.weight"))
    return shapes | {name: (64, 2, 7, 7, 7)}


def resnext101_3d() -> Shapes:
    """Return the tensors of 3D-ResNets-PyTorch's file, whose names begin with `module.` there."""
    shapes: Shapes = {"conv1.weight": (64, 3, 7, 7, 7), **batch_norm("bn1", 64, counted=False)}
    incoming = 64
    for stage, (inner, depth) in enumerate(((128, 3), (256, 4), (512, 23), (1024, 3)), start=1):
        for block in range(depth):
            name = f"layer{stage}.{block}"
            shapes |= {f"{name}.conv1.weight": (inner, incoming, 1, 1, 1)}
            shapes |= {f"{name}.conv2.weight": (inner, inner // 32, 3, 3, 3)}
            shapes |= {f"{name}.conv3.weight": (2 * inner, inner, 1, 1, 1)}
            for number, width in ((1, inner), (2, inner), (3, 2 * inner)):
                shapes |= batch_norm(f"{name}.bn{number}", width, counted=False)
            if block == 0:
                shapes |= {f"{name}.downsample.0.weight": (2 * inner, incoming, 1, 1, 1)}
                shapes |= batch_norm(f"{name}.downsample.1", 2 * inner, counted=False)
            incoming = 2 * inner
    return shapes | {"fc.weight": (400, 2048), "fc.bias": (400,)}


def resnet152() -> Shapes:
    with torch.device("meta"):
        network = import_torchvision("torchvision.models").resnet152(weights=None)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "file", "shapes", "key", "num_head_tensors", "rename"),
    [
        ("i3d_rgb", "rgb_imagenet.pt", pytorch_i3d(), "", 2, i3d.rename_tensor),
        ("i3d_rgb", "i3d_rgb.pt", kinetics_i3d_pytorch(), "", 2, i3d.rename_tensor),
        ("slowfast_r50", "SLOWFAST_8x8_R50.pyth", pytorchvideo_slowfast(), "model_state", 2, None),
        ("vggish", "vggish.pth", torchvggish(), "", 0, None),
        ("tsn_rgb", "bninception_rgb.pth", tsn_pytorch(3), "state_dict", 0, None),
        ("resnet152", "resnet152.pth", resnet152(), "", 2, None),
        ("resnext101_3d", "resnext-101-kinetics.pth", resnext101_3d(), "state_dict", 2, None),
    ],
)
def test_every_tensor_of_a_published_file_arrives_under_its_name(
    tmp_path: Path, name: str, file: str, shapes: Shapes, key: str, num_head_tensors: int, rename: Any
) -> None:
    published = state(shapes)
    torch.save({key: published, "epoch": 3} if key else published, tmp_path / file)
    extractor = build(name, tmp_path / file)
    state_dict = extractor.network.state_dict()

    name_by_number = {float(tensor.flatten()[0]): key for key, tensor in state_dict.items() if tensor.numel()}
    counters = {key for key in state_dict if key.endswith("num_batches_tracked") and key not in shapes}
    assert len(shapes) - num_head_tensors == len(state_dict) - len(counters)
    arrived = 0
    for number, published_name in enumerate(shapes, start=1):
        if number in name_by_number and name_by_number[number] not in counters:
            assert name_by_number[number] == (rename(published_name) if rename else published_name)
            arrived += 1
    assert arrived == len(shapes) - num_head_tensors

    digest = hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()
    assert (extractor.metadata["weights"], extractor.metadata["weights_sha256"]) == (file, digest)


def test_the_two_conversions_of_i3d_have_the_same_tensors() -> None:
    renamed = [
        {i3d.rename_tensor(name) for name in shapes} - {None} for shapes in (pytorch_i3d(), kinetics_i3d_pytorch())
    ]
    assert renamed[0] == renamed[1]
    assert len(renamed[0]) == len(pytorch_i3d()) - 2


def test_flow_networks_read_raft_from_the_folder_of_their_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(state(flow_of(pytorch_i3d())), tmp_path / "flow_imagenet.pt")
    with pytest.raises(PipelineError, match=rf"{RAFT.file}: .*i3d_flow .*{RAFT.url}"):
        build("i3d_flow", tmp_path / "flow_imagenet.pt")
    with torch.device("meta"):
        raft = import_torchvision("torchvision.models.optical_flow").raft_large(weights=None)
    path = tmp_path / RAFT.file
    torch.save(state({name: tuple(tensor.shape) for name, tensor in raft.state_dict().items()}), path)
    with pytest.raises(PipelineError, match="ff5fadd5"):
        build("i3d_flow", tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    published = WeightFile(f"raft-{digest[:8]}.pth", "https://example.org", "none")
    path.rename(tmp_path / published.file)
    monkeypatch.setattr("pipeline.features.networks.flow.RAFT", published)
    for location in (tmp_path, tmp_path / "flow_imagenet.pt"):
        extractor = build("i3d_flow", location)
        metadata = extractor.metadata
        assert extractor.files == [tmp_path / "flow_imagenet.pt", tmp_path / published.file]
        assert metadata["weights"] == "flow_imagenet.pt"
        assert metadata["flow"]["weights_sha256"] == digest


def test_vggish_pca_is_read_from_numpy_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvggish published it as NumPy arrays in double precision, pickled by torch.save."""
    torch.save(state(torchvggish()), tmp_path / "mine.pth")
    arrays = {"pca_eigen_vectors": 2 * np.eye(128), "pca_means": np.arange(128.0)}
    torch.save(arrays, tmp_path / "pca.pth")
    arrays_read, _ = read_state_dict(tmp_path / "pca.pth")
    assert arrays_read["pca_means"].tolist() == list(range(128))
    digest = hashlib.sha256((tmp_path / "pca.pth").read_bytes()).hexdigest()
    monkeypatch.setattr(
        "pipeline.features.networks.vggish.VGGISH_PCA",
        WeightFile(f"pca-{digest[:8]}.pth", "https://example.org", "none"),
    )
    (tmp_path / "pca.pth").rename(tmp_path / f"pca-{digest[:8]}.pth")
    extractor = build("vggish", tmp_path / "mine.pth", pca=True)
    assert extractor.metadata["pca"] == {"weights": f"pca-{digest[:8]}.pth", "weights_sha256": digest}
    assert extractor.files == [tmp_path / "mine.pth", tmp_path / f"pca-{digest[:8]}.pth"]
    features = extractor([extractor.prepare(torch.zeros(15_600))])
    assert set(features.flatten().tolist()) <= set(range(256))


def test_a_missing_weight_file_is_named_with_its_address_and_sha256(tmp_path: Path) -> None:
    for location in (tmp_path, tmp_path / "mine.pth"):
        with pytest.raises(PipelineError) as raised:
            build("vggish", location)
        message = str(raised.value)
        assert message.startswith(f"{tmp_path}/")
        assert "vggish-10086976.pth from https://github.com/harritaylor/torchvggish/" in message
        assert "sha256 begins with 10086976" in message
    with pytest.raises(PipelineError, match=r"i3d_rgb .*rgb_imagenet\.pt from https.*no sha256"):
        build("i3d_rgb", tmp_path)
    with pytest.raises(PipelineError, match=r"sa_tsp .*sa_tsp\.safetensors, which is not published"):
        build("sa_tsp", tmp_path)


def test_weights_of_another_network_are_refused_and_the_first_key_named(tmp_path: Path) -> None:
    torch.save(state(torchvggish()), tmp_path / "w.pth")
    for name in ("i3d_rgb", "slowfast_r50", "tsn_rgb", "resnet152", "tac"):
        with pytest.raises(PipelineError, match=r"w\.pth: weights of another architecture; \d+ keys differ, first "):
            build(name, tmp_path / "w.pth")
    torch.save(state(tsn_pytorch(3)), tmp_path / "rgb.pth")
    with pytest.raises(
        PipelineError,
        match=r"1 keys differ, first conv1_7x7_s2\.weight \(file \(64, 3, 7, 7\), model \(64, 10, 7, 7\)\)",
    ):
        build("tsn_flow", tmp_path / "rgb.pth")


def test_damaged_files_and_files_with_objects_are_refused(tmp_path: Path) -> None:
    torch.save(state(torchvggish()), tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PipelineError, match="cannot be read without executing code"):
        build("vggish", tmp_path / "w.pth")
    (tmp_path / "vggish-10086976.pth").write_bytes(whole)
    with pytest.raises(PipelineError, match="does not begin with 10086976"):
        build("vggish", tmp_path)
    torch.save({"features.0.weight": np.array(["text"], dtype=object)}, tmp_path / "objects.pth")
    with pytest.raises(PipelineError, match="cannot be read without executing code"):
        build("vggish", tmp_path / "objects.pth")


def test_a_trained_encoder_brings_its_own_geometry(tmp_path: Path) -> None:
    torch.manual_seed(2)
    clip = {"frames": 8, "fps": 10.0, "height": 40, "width": 60, "crop": 32}
    config = EncoderEntry.parse({"architecture": "r2plus1d_narrow", "clip": clip}, "pretrain_encoder")
    model = PretrainingModel(config, NumLabels(5, 7))
    write_manifest(
        tmp_path / "m.json", write_model(tmp_path, model, config, labels=list("abcde"), concepts=list("abcdefg")), {}
    )
    extractor = VideoEncoderExtractor("sa_tsp", read_encoder(tmp_path / "m.json"), 4, torch.device("cpu"))
    assert (extractor.dim, extractor.grid) == (128, ClipGrid(fps=10.0, frames=8, stride=4))
    window = torch.randint(0, 256, (8, 50, 70, 3), dtype=torch.uint8)
    prepared = extractor.prepare(window)
    assert prepared.shape == (8, 32, 32, 3)
    with torch.no_grad():
        expected = model.encoder.eval()(prepared.permute(3, 0, 1, 2)[None])
    torch.testing.assert_close(extractor([prepared]), expected, rtol=1e-4, atol=1e-5)
    assert (
        extractor.metadata["weights_sha256"]
        == hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    )
    assert extractor.metadata["architecture"] == "r2plus1d_narrow"


def test_published_encoders_are_extractors(tmp_path: Path) -> None:
    with torch.device("meta"):
        state_dict = build_encoder("r2plus1d_18").state_dict()
    weights = {name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in state_dict.items()}
    save_file({**weights, "fc.weight": torch.zeros(400, 512), "fc.bias": torch.zeros(400)}, tmp_path / "w.safetensors")
    extractor = build("r2plus1d_18_kinetics", tmp_path / "w.safetensors")
    assert (extractor.dim, extractor.metadata["architecture"]) == (512, "r2plus1d_18")
    assert extractor.metadata["weights"] == "w.safetensors"
