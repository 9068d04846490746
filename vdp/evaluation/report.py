"""The result of an evaluation in words; results of older versions lack some entries."""

import math
from collections.abc import Mapping
from typing import Any

from vdp.evaluation import noisy
from vdp.metrics import divergence
from vdp.runtime.numbers import with_error

OF_SAMPLES = ("fid", "kid", "manifold")  # what a result holds of samples compared with images


def in_words(result: dict[str, Any]) -> list[str]:
    """What an eval.json holds, one line a quantity; of older versions too."""
    lines = [checkpoint(result)]
    if other_data := _part_of(result.get("settings") or {}, "data"):
        lines.append(f"on other data than the run's: {assignments(other_data)}")
    split, num = result["split"], result["num_examples"]
    for name, entry in result["estimators"].items():
        if entry:
            lines.append(f"{split} {_estimate(name, entry)}, {num} images")
    for name, entry in (result.get("convergence") or {}).items():
        of = "" if name == "fid" else f", {entry['num_examples']} images"
        lines.append(f"{split} convergence {name}{of}: {entry['words']}")
    for name, entry in (result.get("earlier") or {}).items():
        of = f", {entry['num_examples']} images" if "num_examples" in entry else ""
        what = _earlier(name, entry) or f"{split} {_estimate(name, entry)}{of}"
        lines.append(f"{what}: of step {entry['step']}, not computed again")
    return lines + beside_the_estimates(result)


def beside_the_estimates(result: dict[str, Any]) -> list[str]:
    """What an eval.json holds of latents, codes, scores and samples, one line a quantity."""
    lines: list[str] = []
    split, num = result["split"], result["num_examples"]
    table = result["latents"] or []
    if len(table) > 1 and result["rates"]:
        lines.append(f"rates in nats, top first: {_by_scale(table)}")
        active = result["active_units"]
        used = ""
        if "used" in active:
            of = active["with_rates"]
            among = "" if of == active["total"] else f" of {of} below the top latent"
            used = f"; {active['used']}{among} have a rate above 0.01 nats"
        lines.append(f"active units: {active['active']} of {active['total']}{used}")
    if information := result.get("information"):  # a result of 0.1.0 has none
        lines.append(_information(information, result["rates"][0], num))
    if result.get("mse") is not None:
        mse = with_error(result["mse"], result.get("mse_se"), ".5f")
        lines.append(f"{split} mse {mse} a pixel{_between(result['interpolation'])}")
    if (score := result.get("score")) and score["name"] != "squared_error":  # mse says that one
        lines.append(f"{split} {_score(score)}")
    if result["accuracy"] is not None:
        share = with_error(result["accuracy"], result.get("accuracy_se"), ".4f")
        lines.append(f"{split} accuracy: {share}")
    lines += _representation(result.get("representation"), split)
    if result["fid"]:
        lines.append(_fid(result["fid"]))
    for name, say in (("kid", _kid), ("manifold", _manifold)):
        if entry := result.get(name):  # a result of 0.1.0 has none
            lines.append(say(entry))
    for name, entry in (result.get("ood") or {}).items():
        lines.append(f"{split} against {name}, {_ood(entry)}")
    return lines


def _between(lines: Mapping[str, Any] | None) -> str:
    """Of what images on lines between two codes are like; "" where there was no pair of images."""
    if not lines or not lines["pairs"]:
        return ""
    measures = ("path_ratio", "unevenness", "nonlinearity")
    ratio, step, middle = (_with_error(lines[name], 3) for name in measures)
    return (
        f"; images between two codes, of {lines['pairs']} pairs: path ratio {ratio} (1: straight), "
        f"unevenness {step} (1: equal steps), nonlinearity {middle} (0: the middle is the mean of "
        "the ends)"
    )


def sampling_seconds(result: Mapping[str, Any]) -> float | None:
    """Seconds for 1,000 samples; None where no draw was timed."""
    sampling = result.get("sampling") or {}
    seconds, num = sampling.get("seconds"), sampling.get("num")
    return 1000 * seconds / num if seconds is not None and num else None


def training_seconds(result: Any) -> float | None:
    """Seconds of all training steps; of versions that kept none, of those up to the checkpoint.

    Args:
      result: of an evaluation, or what has `get` like one.
    """
    total = result.get("train_seconds_total")
    return result.get("train_seconds") if total is None else total


def warnings(result: Mapping[str, Any]) -> list[str]:
    """What has to be said against the numbers, last, after `in_words`.

    Which of the estimates are no bounds, and why; that the images are no sample of their split.
    """
    every = {**result["estimators"], **(result.get("earlier") or {})}
    names: dict[str, list[str]] = {}
    for name, entry in every.items():
        if entry and (why := entry.get(divergence.NOT_A_BOUND)):
            names.setdefault(str(why), []).append(name)
    lines = [f"warning: {' and '.join(n)}: not a bound, for {why}" for why, n in names.items()]
    return lines + [f"warning: {doubt}" for doubt in doubts(result)]


def doubts(result: Mapping[str, Any]) -> list[str]:
    """What has to be said against all numbers of a result."""
    lines = []
    if edited := result.get("edited_sources"):
        lines.append(f"{', '.join(edited)}: not as the run was trained with, see source/")
    if classes := result.get("classes"):
        lines.append(
            f"the first {result['num_examples']:,} images of the split (eval.max_examples) are of "
            f"{classes['seen']} of its {classes['split']} classes, so that errors over images are "
            "not those of a sample of it"
        )
    chosen = (result.get("validations") or {}).get("num", 0)
    asked = result.get("split"), result.get("checkpoint")
    own = not _part_of(result.get("settings") or {}, "data")
    if asked == ("validation", "best") and own and chosen > 1:
        lines.append(
            f"these images chose the checkpoint among {chosen} validations: on others it does "
            "worse on average"
        )
    return lines


def headline(result: dict[str, Any]) -> str:
    """The first number that an evaluation gives, in words: an estimate, a score, or the FID."""
    for name, entry in result["estimators"].items():
        if entry:
            return _estimate(name, entry)
    if score := result.get("score"):
        return _score(score)
    return f"FID {result['fid']['value']:.2f}" if result["fid"] else "no estimate"


def assignments(settings: Mapping[str, Any]) -> str:
    """Settings in words: "data.name=mnist, eval.seed=3"."""
    return ", ".join(f"{field}={_text(value)}" for field, value in settings.items())


def _text(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, Mapping):
        return f"({assignments(value)})"
    return ",".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def _part_of(settings: Mapping[str, Any], section: str) -> dict[str, Any]:
    return {field: v for field, v in settings.items() if field.startswith(f"{section}.")}


def checkpoint(result: Mapping[str, Any]) -> str:
    """Which checkpoint it is, and of the best one, among how many."""
    line = f"checkpoint {result['checkpoint']}: step {result['step']}"
    if validations := result.get("validations"):
        num, last = validations["num"], validations["last_step"]
        plural = "s" if num > 1 else ""
        among = f"{num} validation{plural} up to step {last}"
        better = validations.get("better")
        if better is None:
            return f"{line}, the best of {among}"
        line += f"; of {among} that of step {better} was better: its checkpoint is newer or gone"
    return line


def _estimate(name: str, entry: Mapping[str, Any]) -> str:
    """A bound in nats, of probabilities in bits too; of densities that is said."""
    extras = "".join(f", {words}" for words in (ascent(entry), weights(entry)) if words)
    extras += f", ESS {entry['ess']:.1f}" if "ess" in entry else ""
    bits = entry["bits_per_dim"]
    unit = f"nats = {_with_error(bits, 4)} bits/dim" if bits else "nats of a density"
    doubt = ", not a bound" if entry.get(divergence.NOT_A_BOUND) else ""
    doubt += f" (noisy: {words})" if (words := noisy.in_words(entry)) else ""
    if "gained" in entry:
        unit += f", gained {_with_error(entry['gained'], 2)} over the encoder's posteriors"
    return f"{name} ({entry['model']}{extras}): {_with_error(entry['nats'], 2)} {unit}{doubt}"


def weights(entry: Mapping[str, Any]) -> str:
    """How many importance weights an estimate has, "K=64"; "" of others."""
    return f"K={entry['k']}" if entry.get("k") else ""


def ascent(entry: Mapping[str, Any]) -> str:
    """How a refined estimate came to its posteriors, "100 steps of rate 0.05"; "" of others."""
    if "refine_steps" not in entry:
        return ""
    return f"{entry['refine_steps']} steps of rate {entry['refine_rate']:g}"


def _information(information: Mapping[str, Any], rate: float, num: int) -> str:
    left = information["aggregate_kl"]
    if information.get("model") != "ode" and divergence.of_aggregate_is_negative(information):
        rest = f"KL(q(z) || p(z)) at most {left:.2f}, which is negative: p(z) is no density"
    else:  # below zero by noise alone
        rest = f"KL(q(z) || p(z)) at most {max(left, 0.0):.2f}"
    if information.get("collapsed"):
        alike = f"collapsed, the codes of all {num} images are alike"
        return f"rate {rate:.2f} nats: {alike}; {rest}"
    known = _with_error(information["nats"], 2)
    line = f"rate {rate:.2f} nats: I(x; z) at least {known}, {rest}"
    if information["saturated"]:
        line += (
            f"; with {num} images no more than log {num} = {math.log(num):.2f} nats of I(x; z) can "
            "be seen (saturated), so that with more images it may be well above this"
        )
    return line


def _representation(representation: Mapping[str, Any] | None, split: str) -> list[str]:
    """A line for every latent whose codes were probed, of results that have them."""
    if not representation:
        return []
    percent = lambda share: None if share is None else 100 * share
    share = lambda entry: f"{with_error(100 * entry['accuracy'], percent(entry['se']), '.1f')} %"
    fitted, scored = representation["num_fitted"], representation["num_scored"]
    about = f"fitted on {fitted} training images, {scored} scored; the commonest class is "
    about += f"{100 * representation['majority']:.1f} %"
    return [
        f"{split} labels from {row['latent']}: linear probe {share(row['linear'])}, "
        f"{row['nearest']['k']} nearest neighbours {share(row['nearest'])}; {about}"
        for row in representation["latents"]
    ]


def _score(score: Mapping[str, Any]) -> str:
    return f"{score['name']}: {_with_error(score, 4)} {score['unit']}"


def _fid(fid: Mapping[str, Any]) -> str:
    real = ""
    if fid["real"] is not None:
        real = f"; {fid['num_real']} images of the {fid['real_split']} split: {fid['real']:.2f}"
        if as_many := fid.get("value_of_num_real"):
            real += f", as many samples: {as_many:.2f}"
    return (
        f"FID {fid['value']:.2f} ({fid['num_samples']} samples against "
        f"{fid['reference']}, {fid['num_reference']} images{real}; {fid['features']}; "
        f"{fid['rounding']})"
    )


def _earlier(name: str, entry: Mapping[str, Any]) -> str:
    """What is said of an earlier entry that is no estimate of log p(x); nothing of one that is."""
    if name == "representation":
        return "probes"
    if name == "fid":
        return f"FID {entry['value']:.2f}"
    if name in OF_SAMPLES:
        return _kid(entry) if name == "kid" else _manifold(entry)
    return f"against {name.removeprefix('ood ')}, {_ood(entry)}" if name.startswith("ood ") else ""


def _kid(kid: Mapping[str, Any]) -> str:
    shown = lambda found: _with_error(found, 4, "g")
    real = f"; of the split itself {shown(kid['real'])}" if kid["real"] else ""
    return f"KID {shown(kid)} ({kid['subsets']} subsets of {kid['subset']} images{real})"


def _manifold(entry: Mapping[str, Any]) -> str:
    """Precision, recall, density and coverage, each with that of the evaluated split itself."""
    real = entry["real"]
    itself = lambda name: f" ({real[name]:.3f})" if real else ""
    shares = ("precision", "recall", "density", "coverage")
    words = ", ".join(f"{name} {entry[name]:.3f}{itself(name)}" for name in shares)
    behind = f"; in parentheses of the split itself, {real['num']}" if real else ""
    return f"{words}: {entry['num']} images of either set{behind}"


def _ood(entry: Mapping[str, Any]) -> str:
    """How well each score tells images of another data set from those of the split."""
    known = {name: score for name, score in entry.items() if name not in ("num", "step") and score}
    areas = (
        f"{name} {_with_error({'mean': score['auroc'], 'se': score['se']}, 3)}"
        for name, score in known.items()
    )
    return f"{entry['num']['out']} images: AUROC of {', '.join(areas)}"


def _by_scale(table: list[dict]) -> str:
    """Rates summed over the latents of each scale."""
    sums: dict[str, float] = {}
    for row in table:
        scale = row["name"] if row["height"] is None else f"height {row['height']}"
        sums[scale] = sums.get(scale, 0.0) + row["rate"]
    return ", ".join(f"{scale} {rate:.2f}" for scale, rate in sums.items())


def _with_error(value: Mapping[str, Any], digits: int, kind: str = "f") -> str:
    return with_error(value["mean"], value["se"], f".{digits}{kind}")
