"""Inception-v3 pool features for the Frechet Inception Distance, from a weights file of the user.

The network is the TensorFlow graph of 2015-12-05 that published distances use, in the form that
pytorch-fid gave it: Inception-v3 (Szegedy et al. 2015) whose average pools leave the padding out
of the mean, and whose last block has a max pool where the paper has an average.
"""

import dataclasses
import hashlib
import pathlib
import pickle
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Float32

from vdp.errors import UserError
from vdp.types import AnyArray, Array

SIZE = 299  # pixels per side
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
BATCH_NORM_EPS = 1e-3
Maps = Float[Array, "n h w c"]


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution without bias, its BatchNorm and a ReLU; kernel is (height, width)."""

    name: str
    out: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: str = "SAME"


Chain = Callable[..., tuple[Conv, ...]]  # of a block: branch name and layers to its convolutions


def _branches(block: str) -> Chain:
    """The maker of a block's chains: (out, height, width) or (out, height, width, 2) per layer."""

    def chain(name: str, *layers: tuple[int, ...]) -> tuple[Conv, ...]:
        convs = []
        for number, (out, height, width, *stride) in enumerate(layers, 1):
            full = f"{block}.branch{name}" + (f"_{number}" if len(layers) > 1 else "")
            convs.append(Conv(full, out, (height, width), *(stride and (2, "VALID"))))
        return tuple(convs)

    return chain


# In these descriptions a tuple is a chain of layers; a list is parallel branches, whose channels
# are joined in that order; a string is a 3x3 pool: "average" or "max" keep the size, "halve" is the
# max pool of stride 2.


def _block_a(branch: Chain, pooled: int) -> list:
    return [
        branch("1x1", (64, 1, 1)),
        branch("5x5", (48, 1, 1), (64, 5, 5)),
        branch("3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3)),
        ("average", branch("_pool", (pooled, 1, 1))),
    ]


def _block_b(branch: Chain) -> list:
    return [
        branch("3x3", (384, 3, 3, 2)),
        branch("3x3dbl", (64, 1, 1), (96, 3, 3), (96, 3, 3, 2)),
        "halve",
    ]


def _block_c(branch: Chain, c: int) -> list:
    return [
        branch("1x1", (192, 1, 1)),
        branch("7x7", (c, 1, 1), (c, 1, 7), (192, 7, 1)),
        branch("7x7dbl", (c, 1, 1), (c, 7, 1), (c, 1, 7), (c, 7, 1), (192, 1, 7)),
        ("average", branch("_pool", (192, 1, 1))),
    ]


def _block_d(branch: Chain) -> list:
    return [
        branch("3x3", (192, 1, 1), (320, 3, 3, 2)),
        branch("7x7x3", (192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3, 2)),
        "halve",
    ]


def _split(branch: Chain, name: str) -> list:
    return [branch(f"{name}a", (384, 1, 3)), branch(f"{name}b", (384, 3, 1))]


def _block_e(branch: Chain, pool: str) -> list:
    return [
        branch("1x1", (320, 1, 1)),
        (branch("3x3_1", (384, 1, 1)), _split(branch, "3x3_2")),
        (branch("3x3dbl", (448, 1, 1), (384, 3, 3)), _split(branch, "3x3dbl_3")),
        (pool, branch("_pool", (192, 1, 1))),
    ]


NETWORK = (
    Conv("Conv2d_1a_3x3", 32, (3, 3), 2, "VALID"),
    Conv("Conv2d_2a_3x3", 32, (3, 3), 1, "VALID"),
    Conv("Conv2d_2b_3x3", 64, (3, 3)),
    "halve",
    Conv("Conv2d_3b_1x1", 80),
    Conv("Conv2d_4a_3x3", 192, (3, 3), 1, "VALID"),
    "halve",
    _block_a(_branches("Mixed_5b"), 32),
    _block_a(_branches("Mixed_5c"), 64),
    _block_a(_branches("Mixed_5d"), 64),
    _block_b(_branches("Mixed_6a")),
    _block_c(_branches("Mixed_6b"), 128),
    _block_c(_branches("Mixed_6c"), 160),
    _block_c(_branches("Mixed_6d"), 160),
    _block_c(_branches("Mixed_6e"), 192),
    _block_d(_branches("Mixed_7a")),
    _block_e(_branches("Mixed_7b"), "average"),
    # not the paper's average: the published weights go with this
    _block_e(_branches("Mixed_7c"), "max"),
)


def _walk(node: Any, x: Any, layer: Callable, join: Callable) -> Any:
    """Sends x through the description; `layer` maps one layer's input, `join` merges branches."""
    if isinstance(node, list):
        return join([_walk(branch, x, layer, join) for branch in node])
    if isinstance(node, tuple):
        for part in node:
            x = _walk(part, x, layer, join)
        return x
    return layer(node, x)


def parameter_shapes() -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of all that is read, as torch has them: [out, in, height, width]."""
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(node: Conv | str, channels: int) -> int:
        if isinstance(node, str):
            return channels
        shapes[f"{node.name}.conv.weight"] = (node.out, channels, *node.kernel)
        for name in BATCH_NORM:
            shapes[f"{node.name}.bn.{name}"] = (node.out,)
        return node.out

    _walk(NETWORK, 3, layer, sum)
    return shapes


def _pool(x: Maps, start: float, combine: Callable, stride: int = 1) -> Float[Array, "n _ _ c"]:
    padding = "SAME" if stride == 1 else "VALID"
    return lax.reduce_window(x, start, combine, (1, 3, 3, 1), (1, stride, stride, 1), padding)


def average_pool(x: Maps) -> Maps:
    """3x3 means of [N, H, W, C] over the pixels inside the image: padding is not counted."""
    return _pool(x, 0.0, lax.add) / _pool(jnp.ones((1, *x.shape[1:3], 1)), 0.0, lax.add)


def resize(images: Maps, size: int = SIZE) -> Float[Array, "n {size} {size} c"]:
    """Bilinear [N, H, W, C] to [N, size, size, C]: pixel centres at halves, no antialiasing."""
    shape = (images.shape[0], size, size, images.shape[3])
    return jax.image.resize(images, shape, "bilinear", antialias=False)


def pool_features(weights: Mapping[str, Array], images: AnyArray) -> Float32[Array, "n 2048"]:
    """Computes the features whose mean and covariance the Frechet Inception Distance compares.

    Args:
        weights: What `load_weights` returned.
        images: Float [N, H, W, C] in [0, 1] of any size; a single channel is repeated to three.

    Returns:
        Float32 [N, 2048], not negative.

    Raises:
        UserError: The images are no floats or have neither one nor three channels.
    """
    kind, shape = images.dtype, tuple(images.shape)
    if not jnp.issubdtype(kind, jnp.floating) or len(shape) != 4 or shape[3] not in (1, 3):
        raise UserError(f"Inception needs float images [N, H, W, 3 or 1], not {kind} {list(shape)}")

    def layer(node: Conv | str, x: Array) -> Array:
        if node == "average":
            return average_pool(x)
        if isinstance(node, str):
            return _pool(x, -jnp.inf, lax.max, stride=2 if node == "halve" else 1)
        x = lax.conv_general_dilated(
            x,
            weights[f"{node.name}.conv.weight"],
            (node.stride, node.stride),
            node.padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=lax.Precision.HIGHEST,  # accelerators would round the factors otherwise
        )
        return jax.nn.relu(x + weights[f"{node.name}.conv.bias"].reshape(1, 1, 1, -1))

    x = resize(jnp.asarray(images, jnp.float32))
    x = 2 * jnp.broadcast_to(x, (*x.shape[:3], 3)) - 1
    return _walk(NETWORK, x, layer, lambda parts: jnp.concatenate(parts, -1)).mean((1, 2))


def fold_batch_norm(
    kernel: Float[np.ndarray, "o i h w"],
    scale: Float[np.ndarray, "o"],
    shift: Float[np.ndarray, "o"],
    mean: Float[np.ndarray, "o"],
    variance: Float[np.ndarray, "o"],
) -> tuple[Float32[np.ndarray, "h w i o"], Float32[np.ndarray, "o"]]:
    """Kernel [H, W, in, out] and bias [out], float32, of a convolution with its BatchNorm.

    Args:
        kernel: Of the convolution, as torch has it, [out, in, H, W].
        scale: Of the BatchNorm, [out]; torch's "weight".
        shift: Of the BatchNorm, [out]; torch's "bias".
        mean: Running mean, [out].
        variance: Running variance, [out].
    """
    factor = np.float64(scale) / np.sqrt(np.float64(variance) + BATCH_NORM_EPS)
    folded = (kernel * factor[:, None, None, None]).transpose(2, 3, 1, 0)
    return folded.astype(np.float32), (shift - mean * factor).astype(np.float32)


def _existing(path: str | pathlib.Path) -> pathlib.Path:
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"there is no Inception weights file {path}")
    return path


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error):
        raise UserError(f"{path} cannot be read as an .npz file of arrays: save it anew") from None


def _read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise UserError(
            f"{path} needs torch to be read; convert it once where torch is installed with: "
            'python -c "import numpy, torch; numpy.savez('
            f"{str(path.with_suffix('.npz'))!r}, **{{k: v.numpy() for k, v in "
            f"torch.load({str(path)!r}, map_location='cpu').items()}})\""
        ) from None
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor.detach().float().numpy() for name, tensor in state.items()}
    except (AttributeError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError):
        raise UserError(f"{path} cannot be read as a torch state_dict of tensors") from None


def load_weights(path: str | pathlib.Path) -> dict[str, Array]:
    """Reads the weights and folds every BatchNorm into its convolution.

    Args:
        path: An `.npz` with the names of the torch state_dict, or the `.pth` itself, which needs
            torch. What the features do not need (`fc.*`, `num_batches_tracked`) is ignored.

    Returns:
        `NAME.conv.weight` [height, width, in, out] and `NAME.conv.bias` [out], float32.

    Raises:
        UserError: The file cannot be read, or an array is missing or has another shape.
    """
    path, expected = _existing(path), parameter_shapes()
    state = _read_torch(path) if path.suffix in (".pth", ".pt") else _read_npz(path)
    for name, shape in expected.items():
        if name not in state:
            raise UserError(f"{path} lacks {name}: it does not hold the FID Inception weights")
        if state[name].shape != shape:
            raise UserError(f"{name} in {path} has shape {state[name].shape}, not {shape}")
    weights = {}
    for name in expected:
        if name.endswith(".conv.weight"):
            base = name.removesuffix(".conv.weight")
            norm = (state[f"{base}.bn.{part}"] for part in BATCH_NORM)
            kernel, bias = fold_batch_norm(state[name], *norm)
            weights[name], weights[f"{base}.conv.bias"] = jnp.asarray(kernel), jnp.asarray(bias)
    return weights


def checksum(path: str | pathlib.Path) -> str:
    """Returns the sha256 of a file in hexadecimal, to be reported next to every distance."""
    with _existing(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
