"""Gaussian diffusion as pure functions of (eps_fn, gamma, ...).

`eps_fn(y [N, ...], gamma [N]) -> eps_hat [N, ...]` is the denoiser, `gamma(t [...]) -> [...]` the
schedule: gamma = -log SNR, t = 0 clean, t = 1 noise, variance preserving.
"""
