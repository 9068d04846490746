"""`--mode=encode`: writes the codes of images, posteriors q(z|x), for use outside of vdp."""

import pathlib
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from vdp.data import datasets, identity
from vdp.data.core import Split
from vdp.data.transforms import batch_shapes
from vdp.errors import Interrupted, UserError, choose_from
from vdp.export import codes
from vdp.metrics import per_batch
from vdp.run import Run, record_of, restore
from vdp.run.codes import Code, of
from vdp.runtime import files, interruption, parallel
from vdp.runtime.progress import Progress, in_bytes
from vdp.settings import SPLITS, Settings, compare
from vdp.types import Encoding, Model

QUANTITIES = 3  # of a latent: its means, log-variances and a draw


def main(
    settings: Settings,
    workdir: pathlib.Path,
    *,
    out: str = "",
    format: str = "npz",
    splits: str = "",
    latents: str = "",
) -> None:
    """Writes codes-SPLIT.npz of `eval.checkpoint`, and says what is in it and how large it is.

    Args:
      settings: the run's own, with other `data` or `eval`.
      workdir: of the run, where the files go.
      out: a folder for them in its place, or of one split the file, .npz or .parquet.
      format: "npz" or "parquet", where `out` names no file.
      splits: names with commas between them, or "all"; eval.split by default.
      latents: names with commas between them; all by default.

    Raises:
      UserError: anything the user can mend.
      Interrupted: after SIGTERM; files that are complete stay.
    """
    asked = _names(splits or settings.eval.split, "split", SPLITS)
    if f".{format}" not in codes.FORMATS:
        raise choose_from("format", format, [ending[1:] for ending in codes.FORMATS])
    record = record_of(workdir, settings)
    endings = {
        split: f"{_stem(record.settings, settings, split, latents)}.{format}" for split in asked
    }
    paths = _paths(files.located(out) if out else record.workdir, endings)
    for path in paths.values() if parallel.is_writer() else ():
        files.check_file(path)
    run = restore(settings, record, settings.eval.checkpoint)
    shapes = _shapes(run)
    chosen = _names(latents, "latent", shapes) if latents else tuple(shapes)
    dataset = identity.load(
        settings.data, run.facts, trained=record.settings.data, stored=record.hashes
    )
    size = sum(4 * QUANTITIES * int(np.prod(shapes[name])) for name in chosen)  # of an image
    plan = {}
    for split, path in paths.items():
        images = _of_a_split(dataset, split, settings.eval.max_examples)
        codes.check(path, size * len(images))
        plan[path] = split, images
    for path, (split, images) in plan.items():
        what = f"{len(images):,} images, {_in_words(shapes, chosen)}"
        with Progress(f"encoding {split}", len(images), enabled=parallel.is_writer()) as progress:
            progress.say(f"{path}: {what}, at most {in_bytes(size * len(images))}")
            try:
                _write(run, path, split, images, chosen, progress)
            except Interrupted:
                finished = "; complete files stay, the same command begins the others again"
                raise interruption.stopped(finished) from None
        if parallel.is_writer():
            print(path)


def _write(
    run: Run[Model], path: pathlib.Path, split: str, images: Split, latents: Sequence[str],
    progress: Progress,
) -> None:  # fmt: skip
    """Encodes the images of a split and writes the file; in all processes, of which one writes."""
    seed = run.settings.eval.seed
    key = lambda name: [seed, SPLITS.index(split), *name.encode()]  # whatever else is asked for
    noise = {name: np.random.default_rng(key(name)) for name in latents}
    _, inputs = datasets.fixed_images(images, run.facts, run.settings.data)

    def batches() -> Iterator[dict[str, np.ndarray]]:
        done = 0
        for code in run.encode_each(inputs):
            done += len(code[latents[0]].mean)
            progress.update(done)
            yield dict(codes.rows(code, noise, latents=latents))

    if parallel.is_writer():
        about: dict[str, int | str] = {"step": run.step, "split": split, "seed": seed}
        codes.write(path, batches(), images.labels, about)
    else:
        for _ in batches():
            pass


def _shapes(run: Run[Model]) -> dict[str, tuple[int, ...]]:
    """The shape of every latent of one image, top first; UserError where there is none."""
    model, name = run.model, run.settings.model["name"]
    if not isinstance(model, Encoding):
        raise UserError(
            f"model {name} has no encoder, and so no codes; VAEs, hierarchies and autoencoders "
            "have both"
        )
    args = (run.params, run.stats, batch_shapes(1, run.facts.shape), jax.random.key(0))
    q = jax.eval_shape(lambda *args: per_batch.encode(model, *args), *args)
    code: Code = of(q, model, run.facts.shape)
    return {latent: tuple(normal.mean.shape[1:]) for latent, normal in code.items()}


def _of_a_split(dataset: datasets.Dataset, split: str, most: int) -> Split:
    """The images that are encoded; UserError where there is none."""
    images = dataset.splits[split].take(slice(most or None))
    if not len(images):
        raise UserError(f"the {split} split is empty: ask for others by --splits=train,test")
    return images


def _names(text: str, what: str, accepted: Sequence[str] | dict[str, tuple]) -> tuple[str, ...]:
    """Names of a closed list, each once, from a text with commas or "all"."""
    if text == "all":
        return tuple(accepted)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in accepted:
            raise choose_from(what, name, [*accepted, "all"])
    return names


def _stem(trained: Settings, chosen: Settings, split: str, latents: str) -> str:
    """codes-SPLIT, with the checkpoint where it is not the best, and a hash of what else differs.

    Args:
      trained: the settings the run was trained with.
      chosen: those of this command.
      split: the name of the split.
      latents: names with commas between them; "" for all.
    """
    changes = compare.changed(trained, chosen, only=("data", "model"))
    changes |= compare.changed(trained, chosen, only=("eval.seed", "eval.max_examples"))
    changes |= {"latents": ("", latents)} if latents else {}
    which = "" if chosen.eval.checkpoint == "best" else f"{chosen.eval.checkpoint}-"
    return f"codes-{which}{split}" + (f"-{compare.other_name(changes)}" if changes else "")


def _paths(place: pathlib.Path, names: dict[str, str]) -> dict[str, pathlib.Path]:
    """Where the file of every split goes, from a folder or a file."""
    if place.suffix not in codes.FORMATS or place.is_dir():
        files.check_ending(place, codes.FORMATS)
        return {split: place / name for split, name in names.items()}
    if len(names) > 1:
        raise UserError(
            f"--out={place} is one file, and there are {len(names)} splits: name a folder"
        )
    return dict.fromkeys(names, place)


def _in_words(shapes: dict[str, tuple[int, ...]], latents: Sequence[str]) -> str:
    """The latents with their shapes, or how many there are."""
    if len(latents) > 8:
        numbers = sum(int(np.prod(shapes[name])) for name in latents)
        return f"{len(latents)} latents of {numbers:,} numbers"
    return ", ".join(f"{name} {list(shapes[name])}" for name in latents)
