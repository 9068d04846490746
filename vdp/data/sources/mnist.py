"""MNIST (LeCun, Cortes, Burges 1998) from idx files or tensorflow-datasets."""

from vdp.data.core import Info, Request, Splits
from vdp.data.sources import _idx

MD5 = {  # of the decompressed files whose gz files have the published md5s
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def info(arg: str, request: Request | None = None) -> Info:
    """28x28 grey."""
    counts = {"train": 60_000, "test": 10_000}
    return Info(name="mnist", shape=(28, 28, 1), num_classes=10, counts=counts)


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """The official splits."""
    return _idx.load(info(arg), MD5, request)
