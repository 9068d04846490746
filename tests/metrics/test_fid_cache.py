"""The cache of FID's statistics: what is damaged is computed again, and replaced."""

import logging

import numpy as np
import pytest

from vdp.metrics import fid


@pytest.fixture
def features():
    """Features of images that count how often they are computed."""
    calls = []

    def apply(images):
        calls.append(len(images))
        return images.reshape(len(images), -1)[:, :3].astype(np.float32)

    return fid.Features(name="pixels", fingerprint="pixels", apply=apply), calls


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other arrays"])
def test_damaged_statistics_are_computed_again(features, damage, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images = np.random.default_rng(0).integers(0, 17, (20, 2, 2, 1)).astype(np.uint8)
    function, calls = features
    first = fid.cached_statistics(function, images)
    (path,) = tmp_path.rglob("*.npz")
    whole = path.read_bytes()
    fid.cached_statistics(function, images)
    assert calls == [20], "read, not computed"
    if damage == "other arrays":
        np.savez(path, mean=np.zeros(2), covariance=np.zeros((3, 3)), num=20)
    else:
        path.write_bytes({"cut": whole[:-40], "empty": b"", "text": b"text"}[damage])
    with caplog.at_level(logging.WARNING, "vdp"):
        again = fid.cached_statistics(function, images)
    assert calls == [20, 20]
    assert "computed again" in caplog.text
    np.testing.assert_array_equal(again.covariance, first.covariance)
    fid.cached_statistics(function, images)
    assert calls == [20, 20], "replaced"
