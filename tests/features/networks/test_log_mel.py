"""Log-mel spectrograms of VGGish against a second implementation of the published recipe."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float64

from pipeline.config.extractors import EXTRACTORS
from pipeline.features.networks.log_mel import RATE, log_mel
from pipeline.features.networks.vggish import PCA

Samples = Float64[np.ndarray, "samples"]


def recipe(samples: Samples) -> Float64[np.ndarray, "frames bands"]:
    """Compute the spectrogram with a matrix of the discrete Fourier transform, band by band in a loop."""
    time, frequency = np.arange(400), np.arange(257)[:, None]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * time / 400)
    cosine, sine = (part(2 * np.pi * frequency * time / 512) * window for part in (np.cos, np.sin))

    def mel(hertz: float) -> float:
        return 1127.0 * math.log(1.0 + hertz / 700.0)

    edges = np.linspace(mel(125.0), mel(7500.0), 66)
    bands = np.zeros((64, 257))
    for band in range(64):
        low, middle, high = edges[band : band + 3]
        for k in range(1, 257):
            at = mel(k * 8000.0 / 256)
            bands[band, k] = max(0.0, min((at - low) / (middle - low), (high - at) / (high - middle)))
    rows = []
    for start in range(0, len(samples) - 400 + 1, 160):
        piece = samples[start : start + 400]
        rows.append(np.log(bands @ np.hypot(cosine @ piece, sine @ piece) + 0.01))
    return np.stack(rows)


def sine(seconds: float) -> Samples:
    return 0.8 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)


def noise(seconds: float) -> Samples:
    return np.random.default_rng(5).uniform(-1, 1, round(seconds * RATE))


@pytest.mark.parametrize("sound", [sine, noise, lambda seconds: 0 * sine(seconds)])
def test_log_mel_equals_the_published_recipe(sound: object) -> None:
    samples = sound(0.975)  # type: ignore[operator]
    spectrogram = log_mel(torch.from_numpy(samples).float())
    assert spectrogram.shape == (96, 64)
    np.testing.assert_allclose(spectrogram.numpy(), recipe(samples.astype(np.float32).astype(float)), rtol=0, atol=1e-4)


def test_a_sine_is_loudest_in_its_band() -> None:
    spectrum = log_mel(torch.from_numpy(sine(0.975)).float()).mean(dim=0)
    edges = 700 * np.expm1(np.linspace(1127 * np.log1p(125 / 700), 1127 * np.log1p(7500 / 700), 66) / 1127)
    band = int(spectrum.argmax())
    assert edges[band] < 440 < edges[band + 2]


def test_log_mel_of_windows_equals_parts_of_the_whole_spectrogram() -> None:
    grid = EXTRACTORS["vggish"].grid
    samples = torch.from_numpy(noise(3.1)).float()
    whole = log_mel(samples)
    windows = samples.unfold(0, grid.frames, grid.stride)
    assert len(windows) == 3
    for number, window in enumerate(windows):
        torch.testing.assert_close(log_mel(window), whole[96 * number : 96 * (number + 1)], rtol=0, atol=0)


@given(st.integers(15_600, 20_000_000))
def test_number_of_vggish_windows_is_the_published_one(samples: int) -> None:
    grid = EXTRACTORS["vggish"].grid
    frames = (samples - 400) // 160 + 1
    assert (samples - grid.frames) // grid.stride + 1 == (frames - 96) // 96 + 1


@pytest.mark.parametrize(("seconds", "num_rows"), [(18.158, 18), (14.048, 14), (0.975, 1)])
def test_real_videos_have_the_published_numbers_of_vggish_rows(seconds: float, num_rows: int) -> None:
    grid = EXTRACTORS["vggish"].grid
    assert (round(seconds * RATE) - grid.frames) // grid.stride + 1 == num_rows


def test_vggish_pca_quantises_to_eight_bits() -> None:
    pca = PCA()
    with torch.no_grad():
        pca.pca_eigen_vectors.copy_(torch.eye(128))
        pca.pca_means.fill_(1.0)
    features = torch.full((1, 128), 1.0)
    features[0, :3] = torch.tensor([-9.0, 9.0, 1.5])
    quantised = pca(features)[0]
    assert quantised[:4].tolist() == [0, 255, 159, 128]  # 127.5 is rounded to even
