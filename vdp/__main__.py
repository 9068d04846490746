"""`python -m vdp`: the same as `python -m vdp.main`, and as `vdp` where it is installed."""

from vdp.main import console

console()
