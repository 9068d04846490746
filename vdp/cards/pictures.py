"""The pictures in a run's folder: which a card shows, under what words, and as what bytes."""

import base64
import dataclasses
import io
import pathlib
import re
from collections.abc import Collection, Iterable

from vdp.record import PLOTS, PREVIEW, SAMPLES

CAPTIONS = {  # of samples/NAME.png, in the order they are shown in: {name: (title, what is seen)}
    "samples": ("Samples", "Mean images of samples of the model."),
    "reconstructions": (
        "Reconstructions",
        "Rows in pairs: test images, and below each the mean image of one draw of its code.",
    ),
    "denoising": (
        "Denoising",
        "One sample a row: from left to right, what the diffusion believes the clean image is; of "
        "a hierarchy the pseudo-input, which is blurred and no sample of the model.",
    ),
    "levels": (
        "Levels of detail",
        "Test images; below them 0, 1, ... scales from the posterior, coarse first, and the finer "
        "ones from the prior, to the last row, a reconstruction.",
    ),
    "pseudoinputs": (
        "Pseudo-inputs",
        "Pseudo-inputs drawn from their prior, and below each, samples under it.",
    ),
    "interpolations": ("Interpolations", "Decoded points of lines between two codes."),
    "bilinear": ("Between four images", "Decoded points of the square between four codes."),
    "plane": ("The latent plane", "The plane of a code of two numbers, decoded."),
    "latents": (
        "Codes",
        "Codes of test images, coloured by label, beside draws of the prior where there is one.",
    ),
}
OF_PLOTS = {  # likewise of plots/NAME.png
    "loss": (
        "Training",
        "What training and validation reached over steps, above the gradient's norm.",
    ),
    "latents": ("What each latent carries", "Rates, above the shares of active units."),
}
STEPS = 6  # pictures of samples while it trained
SIDE = 360  # pixels of the larger side of a small picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture that can be read.

    Attributes:
      path: relative to the run's folder.
      title: a few words.
      caption: one sentence, or "".
      size: (width, height) in pixels.
      is_drawn: whether card.html draws the same numbers itself.
    """

    path: pathlib.PurePosixPath
    title: str
    caption: str
    size: tuple[int, int]
    is_drawn: bool = False


def gather(workdir: pathlib.Path, *, drawn: Collection[str] = ()) -> list[Picture]:
    """Pictures in samples/ and plots/, known ones first; files that are no pictures are left out.

    Args:
      workdir: of the run.
      drawn: names in plots/ of what card.html draws itself.
    """
    found: list[Picture] = []
    samples = {path.stem: path for path in sorted((workdir / SAMPLES).glob("[!.]*.png"))}
    known = [name for name in CAPTIONS if name in samples]
    others = [name for name in samples if name not in CAPTIONS and _step(name) is None]
    for name in [*known, *others]:
        title, caption = CAPTIONS.get(name, (_words(name), ""))
        found += _pictures(workdir, samples[name], title, caption)
    for path in sorted((workdir / PLOTS).glob("[!.]*.png")):
        plots = _pictures(workdir, path, *OF_PLOTS.get(path.stem, (_words(path.stem), "")))
        found += [dataclasses.replace(plot, is_drawn=path.stem in drawn) for plot in plots]
    return found


def first(workdir: pathlib.Path, names: Iterable[str]) -> Picture | None:
    """The first of samples/NAME.png that can be read; None where none can."""
    for name in names:
        path = workdir / SAMPLES / f"{name}.png"
        for picture in _pictures(workdir, path, *CAPTIONS.get(name, (_words(name), ""))):
            return picture
    return None


def of_steps(workdir: pathlib.Path) -> list[Picture]:
    """Samples while it trained, STEPS of them at most, evenly apart, first and last included.

    One alone, at the end, says no more than samples.png: then there are none.
    """
    paths = [path for path in (workdir / SAMPLES).glob(f"{PREVIEW}*.png") if _step(path.stem)]
    paths.sort(key=lambda path: _step(path.stem) or 0)
    last = len(paths) - 1
    chosen = {round(index * last / (STEPS - 1)) for index in range(STEPS)} if last > 0 else set()
    found: list[Picture] = []
    for index in sorted(chosen):
        found += _pictures(workdir, paths[index], f"step {_step(paths[index].stem):,}", "")
    return found


def uri(path: pathlib.Path) -> str:
    """The file as a data URI, byte for byte."""
    return _uri(path.read_bytes(), "png")


def small_uri(path: pathlib.Path, *, side: int = SIDE) -> str:
    """The picture as a data URI, its larger side at most `side` pixels."""
    from PIL import Image

    with Image.open(path) as image:
        if max(image.size) <= side:
            return uri(path)
        reduced = image.convert("RGB")
        reduced.thumbnail((side, side), reducing_gap=2.0)
    written = io.BytesIO()
    reduced.save(written, "JPEG", quality=90, subsampling=0)
    return _uri(written.getvalue(), "jpeg")


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _pictures(workdir: pathlib.Path, path: pathlib.Path, title: str, caption: str) -> list[Picture]:
    """The picture at a path; none where it is cut short or none at all."""
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            size = image.size
            image.verify()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return []
    relative = pathlib.PurePosixPath(path.relative_to(workdir).as_posix())
    return [Picture(path=relative, title=title, caption=caption, size=size)]


def _step(name: str) -> int | None:
    """The step of a picture of samples while it trained; None of another picture."""
    found = re.fullmatch(rf"{PREVIEW}([0-9]+)", name)
    return int(found[1]) if found else None


def _words(name: str) -> str:
    """The name of a file as words: "convergence-images" is "Convergence images"."""
    words = re.sub(r"[-_]+", " ", name).strip()
    return words[:1].upper() + words[1:]
