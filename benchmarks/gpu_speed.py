"""Sections of gpu.py that measure speed: `step`, `input`, `extractors` and `captions`."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal

from pipeline.captioning.captions import cross_entropy
from pipeline.captioning.decoding import BeamSearch, Greedy
from pipeline.captioning.scst import scst_step
from pipeline.config.clip_geometry import ClipGeometry
from pipeline.config.extractors import ExtractorSpec
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.datasets.corpus import Corpus
from pipeline.encoders.clip_loader import PREFETCH, ClipBatch, ClipLoader
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.losses import NumLabels, pretraining_loss
from pipeline.encoders.model import PretrainingModel
from pipeline.encoders.r2plus1d import build_encoder
from pipeline.encoders.sampling import ClipSample
from pipeline.errors import PipelineError
from pipeline.features.extraction.extractor_pass import ExtractedVideoFeature, extract_features
from pipeline.features.extraction.sources import VideoSource, find_sources
from pipeline.features.networks.base import Extractor
from pipeline.training.precision import autocast, to_device_inplace
from pipeline.video.reencoded_stream import iter_needed_frames
from pipeline.video.shard import ReencodedVideo, shard_manifest

import torch
from extract import FreeExtractor
from gpu_common import (
    DRAWN_FPS,
    DRAWN_SIZE,
    MAX_WORDS,
    Row,
    Setting,
    bmn_objective,
    build_bmn,
    build_captioner,
    build_random_extractor,
    clip_samples,
    continue_after_crash,
    distinct_extractors,
    random_window,
)
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

NOMINAL_PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""bfloat16 operations per second without sparsity, by the makers' data sheets."""
NUM_ACTIONS, NUM_CONCEPTS = 200, 1000
NUM_VIDEOS = 8
"""Videos of a pass."""
NUM_WARMUP_STEPS = 4
"""Steps of a series that are not counted."""
MAX_SLOWDOWN = 5.0
"""Aim: how much slower a training step with decoding may be than one without [%]."""
START_TIMEOUT_S = 120.0

Precision = Literal["float32", "bfloat16"]
TrainStep = Callable[[Tensor], None]


def run_step(setting: Setting) -> Iterator[Row]:
    """Time a training step of R(2+1)D-34 on clips that are on the device."""
    peak = _matmul_rate(setting)
    yield Row("step", "matrix product in bfloat16", "rate", peak / 1e12, "TFLOP/s")
    variants: list[tuple[Precision, bool]] = [("float32", False), ("bfloat16", False), ("bfloat16", True)]
    clips, frames, side = (2, 8, 64) if setting.is_small else (32, 16, 112)
    pixels = torch.randn(clips, 3, frames, side, side, device=setting.device)
    pixels = pixels.contiguous(memory_format=torch.channels_last_3d)  # as the loader's
    for precision, is_compiled in variants[: 2 if setting.is_small else 3]:
        subject = f"{_architecture(setting)}, batch {clips}, {precision}{', compiled' * is_compiled}"
        rows = _step_rows(setting, subject, pixels, precision, is_compiled, peak)
        yield from continue_after_crash("step", subject, rows)


def _step_rows(
    setting: Setting, subject: str, pixels: Tensor, precision: Precision, is_compiled: bool, peak: float
) -> Iterator[Row]:
    if setting.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    train_step = build_train_step(setting, precision, is_compiled)
    start = time.perf_counter()
    train_step(pixels)
    setting.synchronize()
    if is_compiled:
        yield Row("step", subject, "first step", time.perf_counter() - start, "s")
    seconds = setting.seconds(lambda: train_step(pixels), rounds=10)
    yield Row("step", subject, "step", seconds * 1000, "ms")
    yield Row("step", subject, "speed", len(pixels) / seconds, "clips/s")
    if setting.device.type == "cuda":
        yield Row("step", subject, "memory", torch.cuda.max_memory_allocated() / 2**30, "GiB")
    if precision == "bfloat16":
        rate = count_training_flops(_architecture(setting), pixels) / seconds
        yield Row("step", subject, "rate", rate / 1e12, "TFLOP/s")
        yield Row("step", subject, "share of the matrix product's rate", 100 * rate / peak, "%")
        for nominal in _nominal_peaks(setting):
            yield Row("step", subject, "share of the nominal peak", 100 * rate / nominal, "%")


def _architecture(setting: Setting) -> str:
    return "r2plus1d_narrow" if setting.is_small else "r2plus1d_34"


def _matmul_rate(setting: Setting) -> float:
    """Return the operations per second of a large matrix product in bfloat16."""
    size = 256 if setting.is_small else 8192
    left, right = (torch.randn(size, size, device=setting.device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / setting.seconds(lambda: left @ right, rounds=10, warmup=3)


def _nominal_peaks(setting: Setting) -> list[float]:
    """Return the nominal peak of the device, if it is known."""
    name = torch.cuda.get_device_name() if setting.device.type == "cuda" else ""
    return [peak for card, peak in NOMINAL_PEAK.items() if card in name]


def count_training_flops(architecture: str, pixels: Tensor) -> float:
    """Count the operations of a forward and a backward pass of an encoder with a frozen stem."""
    with torch.device("meta"):
        encoder = build_encoder(architecture)
        clips = torch.empty(pixels.shape)
    encoder.stem.requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        encoder(clips).sum().backward()
    return float(counter.get_total_flops())


def build_train_step(setting: Setting, precision: Precision, is_compiled: bool) -> TrainStep:
    """Return a function that trains an encoder with all heads and a frozen stem on one batch."""
    config = EncoderEntry(architecture=_architecture(setting))
    model = PretrainingModel(config, NumLabels(NUM_ACTIONS, NUM_CONCEPTS)).train()
    model.encoder.stem.requires_grad_(False)
    to_device_inplace(model, setting.device, channels_last=True, compiled=is_compiled)
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], 1e-5, momentum=0.9)

    def train_step(pixels: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast(setting.device, precision):
            logits = model(pixels)
        samples = clip_samples(len(pixels), NUM_ACTIONS, NUM_CONCEPTS)
        targets = {name: term.targets(samples, pixels.device) for name, term in model.loss_terms.items()}
        pretraining_loss(logits, targets, model.loss_terms).total.backward()
        optimizer.step()

    return train_step


def run_input(setting: Setting) -> Iterator[Row]:
    """Time the loader alone by its number of workers, and the training step with the loader and without it.

    The clips come from a drawn video of 480 x 360, which is decoded anew for each clip.
    """
    clip = ClipGeometry(frames=8, fps=7.5, height=72, width=96, crop=64) if setting.is_small else ClipGeometry()
    batch_size, num_steps = (2, NUM_WARMUP_STEPS + 1) if setting.is_small else (32, 60)
    height, width = DRAWN_SIZE
    video = ReencodedVideo("v", setting.num_frames, DRAWN_FPS, width, height, False, path=setting.video)
    reader, num_starts = ClipReader({"v": video}, clip), int(setting.num_frames / DRAWN_FPS * clip.fps) - clip.frames

    def load(loader: ClipLoader, num_batches: int) -> Iterator[ClipBatch]:
        starts = [17 * index % num_starts for index in range(num_batches * batch_size)]
        return loader.batches([ClipSample("v", start, 0, None, 0, 0, False) for start in starts], batch_size)

    max_workers = min(setting.cores, _shared_memory() // (PREFETCH * batch_size * clip.frames * height * width * 3))
    for workers in sorted({0, max_workers, *(2**power for power in range(8) if 2**power <= max_workers)}):
        loader = ClipLoader(reader, clip, setting.device, workers)
        _count_clips(setting, load(loader, max(1, workers)))  # starts the workers
        start = time.perf_counter()
        num_clips = _count_clips(setting, load(loader, 2 * max(1, workers)))
        rate = num_clips / (time.perf_counter() - start)
        yield Row("input", f"loader, {clip.frames} frames of 480 x 360", f"{workers} workers", rate, "clips/s")
    train_step = build_train_step(setting, "bfloat16", is_compiled=False)
    loader = ClipLoader(reader, clip, setting.device, max_workers)
    [pixels] = [batch.pixels for batch in load(loader, 1)]
    without = _seconds_per_step(setting, train_step, (pixels for _ in range(min(num_steps, 24))))
    with_loader = _seconds_per_step(setting, train_step, (batch.pixels for batch in load(loader, num_steps)))
    subject, slowdown = f"{_architecture(setting)}, batch {batch_size}, bfloat16", 100 * (with_loader / without - 1)
    yield Row("input", subject, "step without input", without * 1000, "ms")
    yield Row("input", subject, f"step with decoding by {max_workers} workers", with_loader * 1000, "ms")
    yield Row("input", subject, "slow-down by the input", slowdown, "%", f"<= {MAX_SLOWDOWN:g} %")


def _shared_memory() -> int:
    """Return the free shared memory, through which workers send their batches [bytes]."""
    free = os.statvfs("/dev/shm")  # noqa: S108  # the mount, not a temporary file
    return free.f_bavail * free.f_frsize * 3 // 4


def _count_clips(setting: Setting, batches: Iterator[ClipBatch]) -> int:
    num_clips = sum(len(batch.samples) for batch in batches)
    setting.synchronize()
    return num_clips


def _seconds_per_step(setting: Setting, train_step: TrainStep, batches: Iterator[Tensor]) -> float:
    """Return the mean time of the steps after `NUM_WARMUP_STEPS` [s]."""
    start, num_steps = time.perf_counter(), 0
    for number, pixels in enumerate(batches, start=1):
        train_step(pixels)
        if number == NUM_WARMUP_STEPS:
            setting.synchronize()
            start = time.perf_counter()
        num_steps = number
    setting.synchronize()
    return (time.perf_counter() - start) / (num_steps - NUM_WARMUP_STEPS)


def run_extractors(setting: Setting) -> Iterator[Row]:
    """Time decoding, the network of each extractor, and a pass of each extractor over videos."""
    yield from continue_after_crash("extractors", "decoding 480 x 360", _decoding_rows(setting))
    for name, spec in distinct_extractors(setting).items():
        yield from continue_after_crash("extractors", name, _extractor_rows(setting, name, spec))


def _decoding_rows(setting: Setting) -> Iterator[Row]:
    subject, threads = "decoding 480 x 360", setting.cores
    start = time.perf_counter()
    frames = sum(1 for _ in range(4) for _ in iter_needed_frames(setting.video, lambda _: True, threads=threads))
    rate = frames / (time.perf_counter() - start)
    yield Row("extractors", subject, f"one video at a time, {threads} threads", rate, "frames/s")
    processes, videos = (2, 1) if setting.is_small else (threads, NUM_VIDEOS)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    with ProcessPoolExecutor(processes, context, _set_barrier, (barrier,)) as pool:
        times = [pool.submit(_decode_in_pass, str(setting.video), setting.num_frames, videos) for _ in range(processes)]
        starts, ends = zip(*(future.result() for future in times), strict=True)
    rate = processes * videos * setting.num_frames / (max(ends) - min(starts))
    yield Row("extractors", subject, f"passes in {processes} processes, free extractor", rate, "frames/s")


_barrier: Any = None


def _set_barrier(barrier: Any) -> None:
    global _barrier  # a process of a pool has no other way to receive it
    _barrier = barrier


def _decode_in_pass(path: str, num_frames: int, num_videos: int) -> tuple[float, float]:
    """Run a pass with a free extractor when all processes are ready; return the times of its start and its end."""
    torch.set_num_threads(1)
    sources, device = _copies(Path(path), num_frames, num_videos), torch.device("cpu")
    _barrier.wait(START_TIMEOUT_S)
    start = time.monotonic()
    _run_pass(sources, FreeExtractor(ClipGeometry()), device, threads=1)
    return start, time.monotonic()


def _copies(path: Path, num_frames: int, count: int) -> list[VideoSource]:
    """Return several videos that are the same re-encoded file."""
    height, width = DRAWN_SIZE
    videos = [
        ReencodedVideo(f"v{index}", num_frames, DRAWN_FPS, width, height, False, path=path) for index in range(count)
    ]
    return [VideoSource(video.video, path, video) for video in videos]


def _run_pass(sources: Sequence[VideoSource], extractor: Extractor, device: torch.device, threads: int) -> int:
    """Extract the features of all videos; return the number of feature rows."""
    results = extract_features(sources, [extractor], batch_size=32, device=device, threads=threads)
    return sum(len(item.rows) for _, items in results for item in items if isinstance(item, ExtractedVideoFeature))


def _extractor_rows(setting: Setting, name: str, spec: ExtractorSpec) -> Iterator[Row]:
    try:
        extractor = build_random_extractor(name, setting.device)
    except PipelineError as error:  # an optional library is not installed
        print(f"{name}: left out: {error}", file=sys.stderr)
        return
    is_flow, size = name.endswith("_flow"), (128, 171) if setting.is_small else DRAWN_SIZE
    batch, rounds = (8, 2) if is_flow else (32, 5)
    window = random_window(spec, size).to(setting.device)
    seconds = setting.seconds(lambda: extractor.prepare(window), rounds, warmup=1)
    kind = "of sound" if spec.modality == "sound" else f"of {size[1]} x {size[0]}"
    yield Row("extractors", name, f"preparing windows {kind}", 1 / seconds, "windows/s")
    windows = [extractor.prepare(window)] * batch
    yield Row("extractors", name, "network", batch / setting.seconds(lambda: extractor(windows), rounds), "rows/s")
    if spec.modality == "sound":
        sources = _demo_sources(setting)[: 2 if setting.is_small else 24]
    else:  # RAFT computes the flow of some tens of pairs of frames per second
        sources = _copies(setting.video, setting.num_frames, 1 if is_flow else NUM_VIDEOS)
    if not sources:
        return
    start = time.perf_counter()
    num_rows = _run_pass(sources, extractor, setting.device, setting.cores)
    rate = num_rows / (time.perf_counter() - start)
    yield Row("extractors", name, f"pass over {len(sources)} videos with decoding", rate, "rows/s")


def _demo_sources(setting: Setting) -> list[VideoSource]:
    """Return the re-encoded videos of the demo, some of which have sound; none without a finished demo."""
    manifest = setting.demo / "corpus" / "manifest.json"
    if not manifest.is_file():
        return []
    return find_sources([shard_manifest(setting.demo / "video", n) for n in range(Corpus.open(manifest).num_shards)])


NUM_SCST_VIDEOS = 22
"""Videos of four events that make a step of SCST as large as the real one: 24 sequences of 3.7 events."""


def run_captions(setting: Setting) -> Iterator[Row]:
    """Time steps of the captioner, of SCST and of BMN, and the generation of captions."""
    for num_videos in (4, 5 if setting.is_small else NUM_SCST_VIDEOS):
        yield from _captioner_rows(setting, num_videos)
    yield from _bmn_rows(setting)


def _minimize(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def _captioner_rows(setting: Setting, num_videos: int) -> Iterator[Row]:
    captioner, batch, tokens = build_captioner(setting, num_videos)
    captioner, batch, tokens = captioner.to(setting.device), batch.to(setting.device), tokens.to(setting.device)
    optimizer, num_events = torch.optim.Adam(captioner.parameters(), lr=1e-5), batch.num_events

    def reward(captions: Sequence[Sequence[int]], _sentences: Sequence[str]) -> list[float]:
        return [float(len(caption) % 3) for caption in captions]

    def run_scst_step() -> None:
        result = scst_step(captioner.eval(), batch, ["a"] * num_events, reward, temperature=1.0)
        _minimize(result.loss, optimizer)

    subject = f"event_lstm, {num_events} events"
    seconds = setting.seconds(lambda: _minimize(cross_entropy(captioner.train()(batch, tokens), tokens), optimizer))
    yield Row("captions", subject, "cross-entropy", 1 / seconds, "steps/s")
    yield Row("captions", subject, "SCST, constant reward", 1 / setting.seconds(run_scst_step), "steps/s")
    for name, strategy in (("greedy", Greedy()), ("beam of 5", BeamSearch(5, 1.0))):
        seconds = setting.seconds(lambda strategy=strategy: captioner.generate(batch, strategy))
        yield Row("captions", subject, f"{name}, up to {MAX_WORDS} words", num_events / seconds, "captions/s")


def _bmn_rows(setting: Setting) -> Iterator[Row]:
    bmn, features = build_bmn(setting, *((2, 64) if setting.is_small else (16, 400)))
    bmn, features = bmn.to(setting.device).train(), features.to(setting.device)
    bmn_optimizer = torch.optim.Adam(bmn.parameters(), lr=1e-5)
    seconds = setting.seconds(lambda: _minimize(bmn_objective(bmn, features)[1], bmn_optimizer))
    subject = f"bmn, {len(features)} videos of {features.shape[1]} positions"
    yield Row("captions", subject, "step", 1 / seconds, "steps/s")
