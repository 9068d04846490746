"""Fashion-MNIST (Xiao et al. 2017) from idx files or tensorflow-datasets."""

from vdp.data.core import Info, Request, Splits
from vdp.data.sources import _idx

MD5 = {  # of the decompressed files whose gz files have the published md5s
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)  # fmt: skip


def info(arg: str, request: Request | None = None) -> Info:
    """28x28 grey."""
    counts = {"train": 60_000, "test": 10_000}
    return Info(
        name="fashion_mnist",
        shape=(28, 28, 1),
        num_classes=10,
        counts=counts,
        class_names=CLASSES,
    )


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """The official splits."""
    return _idx.load(info(arg), MD5, request)
