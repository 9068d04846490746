"""Pictures of what there is, be it one image."""

import warnings

import numpy as np
import pytest

import vdp
from vdp.pictures import clouds, latent_space


@pytest.mark.parametrize("dimensions", [1, 2, 5])
@pytest.mark.parametrize("draws", [None, 1, 30])
def test_the_code_of_one_image_is_drawn(tmp_path, dimensions, draws):
    normal = np.random.default_rng(0).normal
    prior = None if draws is None else normal(size=(draws, dimensions))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code = normal(size=(1, dimensions))
        clouds.save_latents(tmp_path / "latents.png", code, prior, np.array([3]))
    assert (tmp_path / "latents.png").stat().st_size > 1000


def test_of_one_test_image_the_pictures_are_those_that_need_no_second(smoke_run, tmp_path):
    run = vdp.load(smoke_run)
    paths = latent_space.write_all(run, tmp_path, run.images("test")[:1], np.array([3], np.int32))
    assert [path.name for path in paths] == ["latents.png"]
    assert paths[0].exists()
