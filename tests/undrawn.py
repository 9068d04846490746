"""Runs whose pictures are left out: drawing takes a third of a short training."""

import contextlib

import pytest

from vdp.pictures import sample

DRAWING = {name: getattr(sample, name) for name in ("write_all", "write_samples", "write_curves")}


@contextlib.contextmanager
def pictures(drawn):
    """Whether runs of this process draw their pictures in here."""
    with pytest.MonkeyPatch.context() as patch:
        for name, write in DRAWING.items():
            patch.setattr(sample, name, write if drawn else lambda *_, **__: [])
        yield
