"""Parts of networks written out once more in NumPy, float64, with the parameters of flax."""

import numpy as np


def silu(x):
    return x / (1 + np.exp(-x))


def convolve(p, x):
    """One pixel and one offset at a time, float64."""
    kernel, bias = np.float64(p["kernel"]), np.float64(p["bias"])
    side, half = kernel.shape[0], kernel.shape[0] // 2
    padded = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
    out = np.zeros((*x.shape[:3], kernel.shape[3])) + bias
    for i in range(side):
        for j in range(side):
            out += padded[:, i : i + x.shape[1], j : j + x.shape[2]] @ kernel[i, j]
    return out


def halve(x):
    return (x[:, 0::2, 0::2] + x[:, 1::2, 0::2] + x[:, 0::2, 1::2] + x[:, 1::2, 1::2]) / 4
