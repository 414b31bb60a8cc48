"""Log-mel spectrograms of VGGish (Hershey et al., 2017): 25 ms windows every 10 ms, 64 mel bands."""

from functools import cache

import torch
from jaxtyping import Float, Float64
from torch import Tensor

RATE = 16_000
"""Samples per second."""
WINDOW, HOP = 400, 160
"""Samples: 25 ms and 10 ms."""
BANDS = 64
MIN_HZ, MAX_HZ = 125.0, 7500.0
"""Lower edge of the lowest band and upper edge of the highest band, Hz."""
LOG_OFFSET = 0.01
"""Added to magnitudes before the logarithm."""
_FFT_SIZE = 512


def log_mel(samples: Float[Tensor, "samples"]) -> Float[Tensor, "frames 64"]:
    """Compute the log-mel spectrogram of a sound, in double precision as in the published code.

    The last window is dropped if the sound ends within it.

    Args:
        samples: at 16 kHz, in [-1, 1]; at least one window of 400 samples.
    """
    hann = torch.hann_window(WINDOW, periodic=True, dtype=torch.float64, device=samples.device)
    windows = samples.double().unfold(0, WINDOW, HOP) * hann
    magnitudes = torch.fft.rfft(windows, n=_FFT_SIZE).abs()
    return (magnitudes @ _mel_weights().to(samples.device) + LOG_OFFSET).log().float()


@cache
def _mel_weights() -> Float64[Tensor, "257 64"]:
    """Return the weight of each frequency in each band: triangles on HTK's mel scale, zero for frequency 0."""
    frequencies = _hz_to_mel(torch.linspace(0, RATE / 2, _FFT_SIZE // 2 + 1, dtype=torch.float64))
    ends = _hz_to_mel(torch.tensor([MIN_HZ, MAX_HZ], dtype=torch.float64))
    edges = torch.linspace(float(ends[0]), float(ends[1]), BANDS + 2, dtype=torch.float64)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies[:, None] - lower) / (centre - lower)
    falling = (upper - frequencies[:, None]) / (upper - centre)
    weights = torch.minimum(rising, falling).clamp(min=0)
    weights[0] = 0
    return weights


def _hz_to_mel(frequencies: Float64[Tensor, "n"]) -> Float64[Tensor, "n"]:
    return 1127 * torch.log1p(frequencies / 700)
