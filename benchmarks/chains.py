"""What is known of a chain of few steps: its bound, IWAE, FID and seconds, each kept in a file.

`benchmarks.few_steps` makes its tables of it. An answer that is kept is not measured again, so that
quantities can be measured one after the other, and seconds when nothing else runs.
"""

import dataclasses
import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from vdp.data import datasets
from vdp.diffusion import samplers
from vdp.errors import UserError
from vdp.evaluation import features
from vdp.levels import from_unit
from vdp.metrics import fid, likelihood, score
from vdp.priors.diffusion import DiffusionPrior
from vdp.record import read_run
from vdp.run import Run, calibration, restore
from vdp.runtime import files
from vdp.settings import Sample

QUANTITIES = ("bound", "iwae", "fid", "seconds")
TIMED = 1000  # samples
ROUNDS = 3  # timings, of which the median counts; draws for FID, whose mean and error count
OWN = "own"  # the chain that a run was trained with
SOLVERS = tuple(name for name in samplers.NAMES if name != "ancestral")  # no chain, no bound
SAMPLE = {field.name: field.default for field in dataclasses.fields(Sample)}  # a chain's own draws
IWAE = {"iwae": "value", "ess": "ess"}  # names here: of the terms
Numbers = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of every chain, and where the answers are kept.

    Attributes:
      quantities: those of QUANTITIES that are measured where they are not kept.
      images: the first of the test split that the bound is of; 0: all.
      weighed: the first of it that the IWAE is of; 0: all.
      samples: K of the IWAE.
      drawn: samples of one FID.
      out: the folder of the answers.
      dataset: the data of all runs.
    """

    quantities: tuple[str, ...]
    images: int
    weighed: int
    samples: int
    drawn: int
    out: pathlib.Path
    dataset: datasets.Dataset

    def of(self, workdir: pathlib.Path, chain: str, num_steps: int) -> Numbers:
        """The numbers of a run's chain: what is kept of it, and what is asked for.

        Args:
          workdir: of the run.
          chain: as `eval.reverse`; OWN is the one that the run was trained with; one of SOLVERS.
          num_steps: T; 0: of infinitely many steps, whose bound alone is measured.
        """
        run, found = None, dict[str, Any]()
        known = ("fid", "seconds") if chain in SOLVERS else QUANTITIES
        for quantity in known if num_steps else ("bound",):
            path = self._path(workdir, chain, num_steps, quantity)
            if not path.exists() and (quantity in self.quantities or not num_steps):
                run = run or opened(workdir, chain, num_steps, self.dataset)
                self.out.mkdir(parents=True, exist_ok=True)
                files.write_json(path, dict(getattr(self, quantity)(run)))
                print(path, flush=True)
            if path.exists():
                found |= json.loads(path.read_text())
        return found

    def _path(
        self, workdir: pathlib.Path, chain: str, num_steps: int, quantity: str
    ) -> pathlib.Path:
        sizes = {
            "bound": f"-{self.images}" if self.images else "",
            "iwae": f"-{self.weighed or 'all'}-K={self.samples}",
            "fid": f"-{self.drawn}",
            "seconds": "",
        }
        run = str(workdir).strip("/").replace("/", "_")  # two runs may have one name
        return self.out / f"{run}-{chain}-T={num_steps}-{quantity}{sizes[quantity]}.json"

    def bound(self, run: Run) -> Numbers:
        """The bound of the chain, or of infinitely many steps, image by image."""
        model = run.model.discretized() if run.settings.eval.num_steps else _endless(run.model)
        arrays = run.arrays(run.images("test")[: self.images or None])
        bounds = run.map(score.flat_terms, arrays, model=model)["value"]
        return {"bound": float(bounds.mean()), "bounds": bounds.tolist()}

    def iwae(self, run: Run) -> Numbers:
        """The importance-weighted bound of the chain, and the effective size of its sample."""
        how = dict(num_samples=self.samples, chunk=min(run.settings.eval.iwae_chunk, self.samples))
        model = run.model.discretized()
        arrays = run.arrays(run.images("test")[: self.weighed or None])
        terms = run.map(likelihood.iwae_terms, arrays, model=model, **how)
        found: dict[str, float | None] = {}
        for name, key in IWAE.items():
            mean = likelihood.mean_and_error(terms[key])
            found |= {name: mean["mean"], f"{name}_se": mean["se"]}
        return found

    def fid(self, run: Run) -> Numbers:
        """FID against the training images, and its standard error over draws of the samples."""
        space = features.named(run.settings, self.dataset)
        reference = fid.cached_statistics(space, self.dataset.splits["train"].images)
        options, levels = run.settings.sample.options(), run.facts.info.levels
        found = []
        for seed in range(ROUNDS):
            images = from_unit(run.sample(self.drawn, seed=seed, **options), levels)
            drawn = fid.statistics(space.apply(images))
            found.append(fid.frechet_distance(drawn, reference))
        return {"fid": float(np.mean(found)), "fid_se": float(np.std(found, ddof=1) / ROUNDS**0.5)}

    def seconds(self, run: Run) -> Numbers:
        """Seconds of drawing TIMED samples, compiled before."""
        options = run.settings.sample.options()
        run.sample(TIMED, **options)
        found = []
        for seed in range(ROUNDS):
            start = time.perf_counter()
            run.sample(TIMED, seed=seed, **options)
            found.append(time.perf_counter() - start)
        return {"seconds": float(np.median(found))}


def _endless(model: Any) -> Any:
    """The model with the bound of infinitely many steps, whichever it was trained with."""
    return dataclasses.replace(model, prior=dataclasses.replace(model.prior, bound="continuous"))


def opened(workdir: pathlib.Path, chain: str, num_steps: int, dataset: datasets.Dataset) -> Run:
    """The run with a chain, fitted to its training images where that is not its own.

    Raises:
      UserError: another chain than its own is asked for, and it has no diffusion prior.
    """
    record = read_run(workdir)
    if chain in SOLVERS:
        settings = record.settings.replace(sample=dict(sampler=chain, sampler_steps=num_steps))
    elif chain != OWN:  # drawn from step by step, however the run draws its samples
        asked = {"num_steps": num_steps, "reverse": chain}
        settings = record.settings.replace(eval=asked, sample=SAMPLE)
    else:
        settings = record.settings.replace(eval={"num_steps": num_steps})
    run = restore(settings, record, "best")
    if chain != OWN and not isinstance(getattr(run.model, "prior", None), DiffusionPrior):
        raise UserError(f"{workdir} has no diffusion prior, whose chains could be measured")
    return calibration.ensured(run, workdir, dataset)
