"""Evaluates one checkpoint on one split and writes eval.json."""

import math
import pathlib

import numpy as np

from vdp import config as configs
from vdp import features, latent_space, parallel
from vdp import workdir as files
from vdp.data import load as data_load
from vdp.dists import Normal
from vdp.errors import UserError, choose_from
from vdp.estimate import ESTIMATORS, estimate, has_its_own
from vdp.evals import latents, pictures
from vdp.report import METRICS_FILE, train_seconds
from vdp.run import Run, reconstruct, restore, sampler_options
from vdp.unfinished import Unfinished

DECISIVE = ("seed", "fid_features", "fid_reference", "fid_samples")  # of a result, in config.eval


def evaluate(run: Run, workdir: pathlib.Path, dataset: data_load.Dataset) -> dict:
    """Computes `eval.estimators` on `eval.split` and writes the result.

    The file is eval.json for the best checkpoint on the test split, else
    eval-<checkpoint>-<split>.json; with "-other-<hash of the settings>" where data, number of
    examples or estimators are less than or different from the run's own, or its seed, sampler or
    FID settings are others, so that no question's result is overwritten by another's.

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
    spent = train_seconds(workdir / METRICS_FILE, run.step)
    result = {
        "step": run.step,
        "checkpoint": config.checkpoint,
        "split": config.split,
        "settings": {field: after for field, (_, after) in _changed(workdir, run.config).items()},
        "num_examples": len(split),
        "binarization_seed": (
            run.config.data.binarization_seed if run.config.data.binarization != "none" else None
        ),
        "augmentation": run.config.data.augmentation,
        "estimators": {name: None for name in ESTIMATORS},
        **dict.fromkeys(("fid", "sampling", "active_units", "rates", "latents", "clipped")),
        **dict.fromkeys(("information", "mse", "interpolation", "accuracy")),
        "train_seconds": None if spent is None else round(spent, 3),
    }
    judged = "fid" in config.estimators and hasattr(run.model, "sample")
    space = features.of_run(run, dataset) if judged else None  # what is missing stops here
    kept = Unfinished(run, workdir)
    for name in config.estimators:
        if name in ESTIMATORS and has_its_own(name, run.model):
            result["estimators"][name] = estimate(name, run, arrays, kept.rows(name))
    if hasattr(run.model, "latent_table"):
        means = run.each("means", lambda model, *args: model.latent_means(*args), arrays)
        active = latents.active_units(means)
        table = _latents(run, result["estimators"], active.pop("is_active"))
        result |= {"active_units": active, "latents": table}
        result["rates"] = [row["rate"] for row in table] if "rate" in table[0] else None
        if result["rates"] and len(table) == 1:
            result["information"] = _information(run, arrays[1], *result["rates"])
    if getattr(run.model, "pseudoinput", None):
        result["clipped"] = float(np.mean(run.map("clipped", _clipped, arrays)))
    if hasattr(run.model, "reconstruct"):
        images = run.map("reconstruct", reconstruct, arrays)
        result["mse"] = float(np.mean((images - arrays[0] / (run.facts.levels - 1)) ** 2))
    if hasattr(run.model, "decode_mean") and len(split) > 1:
        result["interpolation"] = latent_space.interpolation(run, arrays[1])
    if hasattr(run.model, "correct"):
        correct = run.map("correct", lambda model, p, s, b, _: model.correct(p, s, b), arrays)
        result["accuracy"] = float(np.mean(correct))
    if judged:
        drawn = kept.rows("samples")
        result["fid"], result["sampling"] = features.fid_and_sampling(run, dataset, space, drawn)
    if parallel.is_writer():
        if result["rates"] and len(result["rates"]) > 1:
            pictures.save_latent_bars(workdir / "plots" / "latents.png", result["latents"])
        files.write_json(workdir / file_name(workdir, run.config), result)
    kept.remove()
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


def file_name(workdir: pathlib.Path, config) -> str:
    """The name of the result of an evaluation with this config of the run in `workdir`."""
    own, changed = configs.read_run(workdir).eval, _changed(workdir, config)
    fewer = config.eval.max_examples not in (0, own.max_examples)
    fewer = fewer or config.eval.iwae_samples < own.iwae_samples
    missing = set(own.estimators) - set(config.eval.estimators)
    free = {f"eval.{field}" for field in own} - {f"eval.{field}" for field in DECISIVE}
    other = f"-{configs.other_name(changed)}" if fewer or missing or changed.keys() - free else ""
    name = f"eval-{config.eval.checkpoint}-{config.eval.split}{other}.json"
    return "eval.json" if name == "eval-best-test.json" else name


def _changed(workdir: pathlib.Path, config) -> dict[str, tuple]:
    """{field: (the run's own, now)} of all that decides the numbers, but checkpoint and split."""
    changed = configs.changed_from_run(workdir, config, only=("data", "model", "eval"))
    changed.pop("eval.checkpoint", None), changed.pop("eval.split", None)
    samplers = tuple(sampler_options(c.sample) for c in (configs.read_run(workdir), config))
    return changed if samplers[0] == samplers[1] else changed | {"sample": samplers}


def _latents(run: Run, estimators: dict, is_active: np.ndarray) -> list[dict]:
    """What every latent carries, top first: {"name", "height", "units", "active", "rate"}.

    The rate is minus its parts of the bound, in nats; that of a hierarchy's z_l is conditional on
    all above. A pseudo-input has a rate alone.
    """
    table = run.model.latent_table(run.facts.shape)
    ends = np.cumsum([row["units"] for row in table])[:-1]
    for row, own in zip(table, np.split(is_active, ends), strict=True):
        row["active"] = int(own.sum())
    if getattr(run.model, "pseudoinput", None):
        units = math.prod(run.model.prior_shape(run.facts.shape))
        table.insert(0, {"name": "u", "height": None, "units": units, "active": None})
    for name in ("elbo", "elbo_discrete", "elbo_ode"):
        parts = dict(estimators[name]["parts"]) if estimators[name] else {}
        if "likelihood" in parts:
            del parts["likelihood"]
            for row in table:
                own = [p for p in parts if len(table) == 1 or _belongs(p, row["name"])]
                row["rate"] = -sum(parts[part] for part in own)
            break
    return table


def _information(run: Run, images: np.ndarray, rate: float) -> dict | None:
    q = run.encode(images)
    if not isinstance(q, Normal):  # a hierarchy of one latent
        return None
    moments = (np.reshape(values, (len(images), -1)) for values in (q.mean, q.log_var))
    return latents.information(*moments, rate, seed=run.config.eval.seed)


def _belongs(part: str, latent: str) -> bool:
    return part == latent or part.startswith(f"{latent}_")


def _clipped(model, params, stats, batch, rng):
    """For `Run.map`: the share of clipped coefficients of u, [B]."""
    images = batch.input / np.float32(model.input_levels - 1)
    return model.pseudoinput.clipped(params["pseudoinput"], stats["pseudoinput"], images)


def describe_result(result: dict) -> list[str]:
    """The estimators in words, one line each."""
    lines = []
    for name, found in result["estimators"].items():
        if found:
            extras = f", K={found['k']}, ESS {found['ess']:.1f}" if "k" in found else ""
            bits = found["bits_per_dim"]
            bits = f" = {_with_error(bits, 4)} bits/dim" if bits else ""
            lines.append(
                f"{result['split']} {name} ({found['model']}{extras}): "
                f"{_with_error(found['nats'], 2)} nats{bits}, {result['num_examples']} images"
            )
    table = result["latents"] or []
    if len(table) > 1 and result["rates"]:
        lines.append(f"rates in nats, top first: {_by_scale(table)}")
        active = result["active_units"]
        lines.append(f"active units: {active['active']} of {active['total']}")
    if found := result.get("information"):  # a result of 0.1.0 has none
        seen = math.log(result["num_examples"])
        known = f"saturated: {result['num_examples']} images cannot show more than {seen:.2f}"
        left = max(found["aggregate_kl"], 0.0)  # below zero by the noise of the rate alone
        lines.append(
            f"rate {result['rates'][0]:.2f} nats: I(x; z) at least "
            f"{_with_error(found['nats'], 2)}{f' ({known})' if found['saturated'] else ''}, "
            f"KL(q(z) || p(z)) at most {left:.2f}"
        )
    found = result["interpolation"]
    if found and found["pairs"]:
        ratio, step, middle = (
            _with_error(found[name], 3) for name in ("path_ratio", "unevenness", "nonlinearity")
        )
        lines.append(
            f"{result['split']} mse {result['mse']:.5f} a pixel; images between two codes: path "
            f"{ratio} times its chord, largest step {step} times the mean, middle {middle} half "
            f"chords off; {found['pairs']} pairs"
        )
    if result["accuracy"] is not None:
        lines.append(f"{result['split']} accuracy: {result['accuracy']:.4f}")
    if result["fid"]:
        found = result["fid"]
        real = (
            ""
            if found["real"] is None
            else f"; the {found['real_split']} split's own {found['num_real']} images: "
            f"{found['real']:.2f}, the larger the fewer"
        )
        lines.append(
            f"FID {found['value']:.2f} ({found['num_samples']} samples against "
            f"{found['reference']}, {found['num_reference']} images{real}; {found['features']}; "
            f"{found['rounding']})"
        )
    return lines


def _by_scale(table: list[dict]) -> str:
    """Rates summed over the latents of each scale."""
    sums: dict[str, float] = {}
    for row in table:
        scale = row["name"] if row["height"] is None else f"height {row['height']}"
        sums[scale] = sums.get(scale, 0.0) + row["rate"]
    return ", ".join(f"{scale} {rate:.2f}" for scale, rate in sums.items())


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
