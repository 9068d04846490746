"""Evaluates one checkpoint on one split and writes eval.json."""

import functools
import pathlib
import time

import numpy as np

from vdp import config as configs
from vdp import features, parallel, step
from vdp import workdir as files
from vdp.data import load as data_load
from vdp.errors import UserError, choose_from
from vdp.evals import latents, likelihood
from vdp.report import Progress, read_metrics
from vdp.run import Run, iwae_function, reconstruct, restore, sampler_options

ESTIMATORS = ("elbo", "elbo_discrete", "elbo_ode", "iwae", "iwae_ode")
SOLVER_EXAMPLES = 256  # images on which the ODE solver's error is looked at
OF_ANOTHER_MODEL = {  # of a diffusion prior's parameters; exact priors have one model only
    "elbo_discrete": lambda model: model.discretized(),
    "elbo_ode": lambda model: model.as_ode(),
    "iwae_ode": lambda model: model.as_ode(),
}


DECISIVE = ("seed", "fid_features", "fid_reference", "fid_samples")  # of a result, in config.eval


def evaluate(run: Run, workdir: pathlib.Path, dataset: data_load.Dataset) -> dict:
    """Computes `eval.estimators` on `eval.split` and writes the result.

    The file is eval.json for the best checkpoint on the test split, else
    eval-<checkpoint>-<split>.json; with "-other" where data, number of examples or estimators are
    less than or different from the run's own, or its seed, sampler or FID settings are others, so
    that the main result is never overwritten by another question's.

    Args:
      run: the checkpoint.
      workdir: where the file goes.
      dataset: the data of `run.config.data`.

    Returns:
      What the file holds (design: step, checkpoint, split, num_examples, estimators, ...).
    """
    config = run.config.eval
    check(config)
    split = dataset.splits[config.split]
    if config.max_examples:
        split = split.take(slice(config.max_examples))
    if not len(split):
        raise UserError(f"the {config.split} split is empty: set data.num_validation when training")
    arrays = (*data_load.fixed_images(split, run.facts, run.config.data), split.labels)
    result = {
        "step": run.step,
        "checkpoint": config.checkpoint,
        "split": config.split,
        "num_examples": len(split),
        "binarization_seed": (
            run.config.data.binarization_seed if run.config.data.binarization != "none" else None
        ),
        "augmentation": run.config.data.augmentation,
        "estimators": {name: None for name in ESTIMATORS},
        **dict.fromkeys(("fid", "sampling", "active_units", "rates", "mse", "accuracy")),
        "train_seconds": _train_seconds(workdir, run.step),
    }
    judged = "fid" in config.estimators and hasattr(run.model, "sample")
    space = features.of_run(run, dataset) if judged else None  # what is missing stops here
    for name in config.estimators:
        if name in ESTIMATORS and _has_its_own(name, run.model):
            result["estimators"][name] = _estimate(name, run, arrays)
    result["rates"] = _rates(result["estimators"])
    if hasattr(run.model, "encode"):
        q = run.map("encode", lambda model, p, s, b, _: model.encode(p, s, b.input), arrays)
        result["active_units"] = latents.active_units(q.mean)
    if hasattr(run.model, "reconstruct"):
        images = run.map("reconstruct", reconstruct, arrays)
        result["mse"] = float(np.mean((images - arrays[0] / (run.facts.levels - 1)) ** 2))
    if hasattr(run.model, "correct"):
        correct = run.map("correct", lambda model, p, s, b, _: model.correct(p, s, b), arrays)
        result["accuracy"] = float(np.mean(correct))
    if judged:
        result["fid"], result["sampling"] = features.fid_and_sampling(run, dataset, space)
    if parallel.is_writer():
        files.write_json(workdir / file_name(workdir, run.config), result)
    return result


def check(config) -> None:
    """Refuses a `config.eval` that names something unknown; cheap, so training asks it first."""
    for name in config.estimators:
        if name not in (*ESTIMATORS, "fid"):
            raise choose_from("entry of eval.estimators", name, (*ESTIMATORS, "fid"))
    for field in ("split", "fid_reference"):
        if config[field] not in data_load.SPLITS:
            raise choose_from(f"eval.{field}", config[field], data_load.SPLITS)
    if min(config.iwae_samples, config.iwae_chunk) < 1:
        raise UserError("eval.iwae_samples and eval.iwae_chunk must be at least 1")
    if config.fid_samples < 2 or config.max_examples < 0:
        raise UserError("eval.fid_samples must be at least 2, eval.max_examples not negative")


def _has_its_own(name: str, model) -> bool:
    """Whether the estimator is not just another one of this model again."""
    weight = name.startswith("iwae")
    if weight and not hasattr(model, "log_weight"):
        return False
    if name not in OF_ANOTHER_MODEL:
        return True
    if not hasattr(model, "discretized"):
        return False
    other = OF_ANOTHER_MODEL[name](model)
    if weight:
        return other.weight_model != model.weight_model
    return other.bound_model != model.bound_model


def _train_seconds(workdir: pathlib.Path, step: int) -> float | None:
    """Seconds spent in training steps up to `step`, over all resumptions."""
    lines = read_metrics(workdir / "metrics.jsonl")
    spent = [m["train/seconds"] for m in lines if "train/seconds" in m and m["step"] <= step]
    return round(sum(spent), 3) if spent else None


def file_name(workdir: pathlib.Path, config) -> str:
    """The name of the result of an evaluation with this config of the run in `workdir`."""
    own = configs.read_run(workdir)
    data = configs.differences(
        configs.to_json(own.data), configs.to_json(config.data), free=configs.PLACES
    )
    fewer = config.eval.max_examples not in (0, own.eval.max_examples)
    missing = set(own.eval.estimators) - set(config.eval.estimators)
    fewer = fewer or config.eval.iwae_samples < own.eval.iwae_samples
    how = lambda c: [c.eval.get(f) for f in DECISIVE] + [sampler_options(c.sample)]
    other = "-other" if data or fewer or missing or how(own) != how(config) else ""
    name = f"eval-{config.eval.checkpoint}-{config.eval.split}{other}.json"
    return "eval.json" if name == "eval-best-test.json" else name


def _estimate(name: str, run: Run, arrays) -> dict:
    progress = Progress(name, len(arrays[0]), enabled=parallel.is_writer())
    start = time.perf_counter()

    def moved(done):
        progress.update(done, None if done < len(arrays[0]) else "")

    extra = {}
    model = OF_ANOTHER_MODEL.get(name, lambda model: model)(run.model)
    if name.startswith("iwae"):
        function = iwae_function(run.config.eval.iwae_samples, run.config.eval.iwae_chunk)
        function = functools.partial(function, model)
        key = (name, run.config.eval.iwae_samples)
        values, ess = run.evaluator.map(
            key, function, run.params, run.stats, arrays, progress=moved
        )
        parts = {}
        kind = "path" if model.weight_model.startswith("T=") else model.weight_model
        extra = {
            "k": run.config.eval.iwae_samples,
            "weight": kind,
            "ess": float(ess.mean()),
        }
    else:
        bound = functools.partial(step.elbo_step, model)
        parts = run.evaluator.map(name, bound, run.params, run.stats, arrays, progress=moved)
        values = parts.pop("value")
    tag = model.weight_model if name.startswith("iwae") else model.bound_model
    if tag == "ode":
        extra["solver_error"] = _solver_error(run, arrays)
    note = getattr(getattr(model, "prior", None), "note", None)
    if note:
        extra["note"] = note
    progress.close()
    if not np.all(np.isfinite(values)):
        raise UserError(f"the estimator {name} is not finite: the checkpoint {run.step} diverged")
    summary = likelihood.summary(values, run.facts.shape, discrete=run.model.discrete)
    return {
        **summary,
        "parts": {part: float(np.mean(v)) for part, v in parts.items()},
        "model": tag,
        **extra,
        "seconds": round(time.perf_counter() - start, 3),
    }


def _solver_error(run: Run, arrays) -> float:
    """Mean change in nats of the bound when the ODE solver takes twice the step, noise kept."""
    some = tuple(array[:SOLVER_EXAMPLES] for array in arrays)
    values = []
    for coarser in (1, 2):
        bound = functools.partial(step.elbo_step, run.model.as_ode(coarser=coarser))
        key = f"ode step x {coarser}"
        values.append(run.evaluator.map(key, bound, run.params, run.stats, some)["value"])
    return float(np.mean(np.abs(values[0] - values[1])))


def _rates(estimators: dict) -> list[float] | None:
    """The mean rate in nats of every latent: minus all parts of the bound but the likelihood."""
    for name in ("elbo", "elbo_discrete", "elbo_ode"):
        parts = estimators[name]["parts"] if estimators[name] else {}
        if "likelihood" in parts:
            return [-sum(value for part, value in parts.items() if part != "likelihood")]
    return None


def describe_result(result: dict) -> list[str]:
    """The estimators in words, one line each."""
    lines = []
    for name, estimate in result["estimators"].items():
        if estimate:
            extras = f", K={estimate['k']}, ESS {estimate['ess']:.1f}" if "k" in estimate else ""
            bits = estimate["bits_per_dim"]
            bits = f" = {_with_error(bits, 4)} bits/dim" if bits else ""
            lines.append(
                f"{result['split']} {name} ({estimate['model']}{extras}): "
                f"{_with_error(estimate['nats'], 2)} nats{bits}, {result['num_examples']} images"
            )
    if result["accuracy"] is not None:
        lines.append(f"{result['split']} accuracy: {result['accuracy']:.4f}")
    if result["fid"]:
        found = result["fid"]
        real = (
            ""
            if found["real"] is None
            else (f"; the {found['real_split']} split itself: {found['real']:.2f}")
        )
        lines.append(
            f"FID {found['value']:.2f} ({found['num_samples']} samples against "
            f"{found['reference']}, {found['num_reference']} images{real}; {found['features']}; "
            f"{found['rounding']})"
        )
    return lines


def _with_error(value: dict, digits: int) -> str:
    error = "" if value["se"] is None else f" ± {value['se']:.{digits}f}"
    return f"{value['mean']:.{digits}f}{error}"


def run_mode(config, workdir: pathlib.Path) -> None:
    """`--mode=eval`: evaluates `eval.checkpoint` and says what came out."""
    run = restore(config, workdir, config.eval.checkpoint)
    result = evaluate(run, workdir, data_load.load(config.data))
    if parallel.is_writer():
        print("\n".join(describe_result(result)))
        print(workdir / file_name(workdir, config))
