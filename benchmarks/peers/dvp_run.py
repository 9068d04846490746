"""A run of weights that the published PyTorch DVP-VAE has trained.

python -m benchmarks.peers.dvp_run --weights=FILE.npz --out=RUN
    [--config=mnist_dvp:reference] [--config.data.dir=DIR ...]

--weights holds a state dict of the program by its own names, as benchmarks/peers/dvp_train.py
writes it (of a checkpoint: `numpy.savez(file, **{name: leaf.numpy() for name, leaf in
state.items()})`). The run is evaluated, sampled and trained on like any other.
"""

import argparse
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

import vdp.run
from benchmarks import command, common
from vdp import config
from vdp.errors import UserError
from vdp.runtime import npz

NOISE = "decoder.decoder_blocks.0.q_logvar"
SCALE = "decoder.decoder_blocks.0.dct_scale"
PRIOR = r"decoder\.decoder_blocks\.0\.ctx_prior\.model\."
# What has no place: constants, and a second name of the prior.
LEFT = re.compile(r".*\.beta|decoder\.z_L_prior\..*|.*\.dct\.\w+|.*\.noise_schedule\.\w+")
TOP = {
    "encoder.pre_process.0": "encoder/stem",
    "decoder.z_to_features": "decoder/net/z_to_features",
    "decoder.post_process.0": "decoder/net/head",
}
OF_DENOISER = {
    "time_embed.0": "Dense_0",
    "time_embed.2": "Dense_1",
    "input_blocks.0.0": "Conv_0",
    "out.0": "GroupNorm_0",
    "out.2": "Conv_1",
    "middle_block.1.norm": "Attention_0/GroupNorm_0",
    "middle_block.1.qkv": "Attention_0/Dense_0",
    "middle_block.1.proj_out": "Attention_0/Dense_1",
}
OF_RES_BLOCK = {
    "in_layers.0": "GroupNorm_0",
    "in_layers.2": "Conv_0",
    "emb_layers.1": "Dense_0",
    "out_layers.0": "GroupNorm_1",
    "out_layers.3": "Conv_1",
    "skip_connection": "Conv_2",
}


def carried(published: Mapping[str, np.ndarray], model: Mapping[str, Any]) -> tuple[dict, dict]:
    """(parameters, constants) of ours from a state dict of the published program.

    Args:
      published: its leaves by name.
      model: `config.model` of the hierarchy, with `pseudoinput=dct`.

    Raises:
      UserError: a leaf has no place in this model, or there is none of the code's.
    """
    for name in (NOISE, SCALE):
        if name not in published:
            raise UserError(f"{name} is missing among the weights")
    scales, depth = model["scales"], model["prior"]["denoiser"]["depth"]
    latents = [(height, k) for height, number, _ in reversed(scales) for k in range(number)]
    stacked: dict[str, dict[int, np.ndarray]] = {}
    params: dict[str, np.ndarray] = {}
    for name, leaf in published.items():
        if LEFT.fullmatch(name) or name in (NOISE, SCALE):
            continue
        module, _, kind = name.rpartition(".")
        path, index = _place(module, [height for height, *_ in scales], latents, depth)
        if kind not in ("weight", "bias"):
            raise UserError(f"{name} is no leaf of the published hierarchy")
        end, value = ("bias", leaf) if kind == "bias" else _weight(leaf)
        if path == "prior/denoiser/Dense_0" and end == "kernel":
            value = np.roll(value, len(value) // 2, axis=0)  # theirs: cosines first
        if index is None:
            params[f"{path}/{end}"] = value
        else:
            stacked.setdefault(f"{path}/{end}", {})[index] = value
    for path, leaves in stacked.items():
        params[path] = np.stack([leaves[index] for index in sorted(leaves)])
    params["decoder/noise"] = published[NOISE][0].transpose(1, 2, 0)
    stats = {"pseudoinput": {"scale": published[SCALE][0].transpose(1, 2, 0)}}
    return traverse_util.unflatten_dict(params, sep="/"), stats


def _place(module: str, heights: list[int], latents: list, depth: int) -> tuple[str, int | None]:
    """(path of a module, its place among the equal ones that are stacked)."""
    if module in TOP:
        return TOP[module], None
    if found := re.fullmatch(r"encoder\.encoder_blocks\.(\d+)\.(\d+)\.net\.(\d)\.net\.1", module):
        scale, block, layer = map(int, found.groups())
        return f"encoder/scale_{heights[scale]}/conv_{layer}", block
    if found := re.fullmatch(PRIOR + r"(.+)", module):
        return f"prior/denoiser/{_of_denoiser(found[1], depth)}", None
    if found := re.fullmatch(r"decoder\.decoder_blocks\.([1-9]\d*)\.(.+)", module):
        number, part = int(found[1]) - 1, _of_latent(found[2])
        if number == len(latents) - 1:
            return f"decoder/net/bottom/{part}", None
        if number < len(latents):
            height, index = latents[number]
            return f"decoder/net/scale_{height}/{part}", index
    raise UserError(f"{module} is no module of the published hierarchy in this config's shape")


def _of_latent(part: str) -> str:
    """Where a part of one latent's block stands."""
    for theirs, ours in (("resnet.0.", "after/"), ("s_to_p.", "s_to_p/"), ("s_to_q.", "s_to_q/")):
        if part.startswith(theirs):
            layer = part.removeprefix(theirs)
            found = re.fullmatch(r"net\.([0-2])\.net\.0|net\.(3)", layer)
            return ours + (f"conv_{found[1] or found[2]}" if found else layer)
    return part


def _of_denoiser(part: str, depth: int) -> str:
    """Where a part of the prior's denoiser stands."""
    if part in OF_DENOISER:
        return OF_DENOISER[part]
    found = re.fullmatch(r"(input_blocks|middle_block|output_blocks)\.(\d+)\.(?:0\.)?(.+)", part)
    if not found or found[3] not in OF_RES_BLOCK:
        raise UserError(f"{part} is no part of a denoiser of one resolution")
    way, number = found[1], int(found[2])
    if way == "input_blocks":
        block = number - 1
    else:
        block = depth + (number // 2 if way == "middle_block" else 2 + number)
    return f"TimeResBlock_{block}/{OF_RES_BLOCK[found[3]]}"


def _weight(leaf: np.ndarray) -> tuple[str, np.ndarray]:
    """(our name, our layout) of a `weight`."""
    if leaf.ndim == 1:
        return "scale", leaf
    if leaf.ndim == 3:  # a convolution along one axis, of one point
        leaf = leaf[:, :, 0]
    return "kernel", leaf.transpose(2, 3, 1, 0) if leaf.ndim == 4 else leaf.T


def main() -> None:
    """Makes the run."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--weights", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--config", default="mnist_dvp:reference")
    flags, rest = parser.parse_known_args()
    settings = config.settings(flags.config, common.overrides(rest))
    published = npz.read(flags.weights)
    if not published:
        raise UserError(f"{flags.weights} is no .npz file of arrays")
    params, stats = carried(published, settings.model)
    vdp.run.create(flags.out, settings, params, stats)
    print(f"{flags.out}: a run of these weights")


if __name__ == "__main__":
    command.run(main)
