"""VGGish's spectrograms: 25 ms windows every 10 ms, 64 mel bands, stabilised logarithm."""

from functools import cache

import torch
from jaxtyping import Float, Float64
from torch import Tensor

RATE = 16_000
"""Samples per second."""
WINDOW, HOP = 400, 160
"""Samples: 25 ms and 10 ms."""
BANDS = 64
LOWEST, HIGHEST = 125.0, 7500.0
"""Edges of the lowest and the highest band, Hz."""
OFFSET = 0.01
"""Added before the logarithm is taken."""
_FFT = 512


def log_mel(samples: Float[Tensor, "samples"]) -> Float[Tensor, "frames 64"]:
    """Spectrogram of a sound; windows that its end cuts off are left out.

    Computed in double precision, as published, and independent of everything but the samples.

    Args:
        samples: at 16 kHz, in [-1, 1]; at least one window of 400.
    """
    hann = torch.hann_window(WINDOW, periodic=True, dtype=torch.float64, device=samples.device)
    windows = samples.double().unfold(0, WINDOW, HOP) * hann
    magnitudes = torch.fft.rfft(windows, n=_FFT).abs()
    return (magnitudes @ _bands().to(samples.device) + OFFSET).log().float()


@cache
def _bands() -> Float64[Tensor, "257 64"]:
    """The share of each frequency in each band: triangles on HTK's mel scale, without the constant part."""
    frequencies = _mel(torch.linspace(0, RATE / 2, _FFT // 2 + 1, dtype=torch.float64))
    ends = _mel(torch.tensor([LOWEST, HIGHEST], dtype=torch.float64))
    edges = torch.linspace(float(ends[0]), float(ends[1]), BANDS + 2, dtype=torch.float64)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies[:, None] - lower) / (centre - lower)
    falling = (upper - frequencies[:, None]) / (upper - centre)
    shares = torch.minimum(rising, falling).clamp(min=0)
    shares[0] = 0
    return shares


def _mel(frequencies: Float64[Tensor, "n"]) -> Float64[Tensor, "n"]:
    return 1127 * torch.log1p(frequencies / 700)
