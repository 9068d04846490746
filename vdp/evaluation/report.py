"""The result of an evaluation in words."""

import math
from typing import Any


def in_words(result: dict[str, Any]) -> list[str]:
    """What an eval.json holds, one line a quantity; of older versions too."""
    lines = []
    for name, entry in result["estimators"].items():
        if entry:
            extras = f", K={entry['k']}, ESS {entry['ess']:.1f}" if "k" in entry else ""
            bits = entry["bits_per_dim"]
            bits = f" = {_with_error(bits, 4)} bits/dim" if bits else ""
            lines.append(
                f"{result['split']} {name} ({entry['model']}{extras}): "
                f"{_with_error(entry['nats'], 2)} nats{bits}, {result['num_examples']} images"
            )
    table = result["latents"] or []
    if len(table) > 1 and result["rates"]:
        lines.append(f"rates in nats, top first: {_by_scale(table)}")
        active = result["active_units"]
        lines.append(f"active units: {active['active']} of {active['total']}")
    if information := result.get("information"):  # a result of 0.1.0 has none
        seen = math.log(result["num_examples"])
        known = f"saturated: {result['num_examples']} images cannot show more than {seen:.2f}"
        left = max(information["aggregate_kl"], 0.0)  # below zero by the noise of the rate alone
        known = f" ({known})" if information["saturated"] else ""
        lines.append(
            f"rate {result['rates'][0]:.2f} nats: I(x; z) at least "
            f"{_with_error(information['nats'], 2)}{known}, KL(q(z) || p(z)) at most {left:.2f}"
        )
    lines_between = result["interpolation"]
    if lines_between and lines_between["pairs"]:
        measures = ("path_ratio", "unevenness", "nonlinearity")
        ratio, step, middle = (_with_error(lines_between[name], 3) for name in measures)
        lines.append(
            f"{result['split']} mse {result['mse']:.5f} a pixel; images between two codes: path "
            f"{ratio} times its chord, largest step {step} times the mean, middle {middle} half "
            f"chords off; {lines_between['pairs']} pairs"
        )
    if (score := result.get("score")) and score["name"] != "squared_error":  # mse says that one
        name = score["name"]
        lines.append(f"{result['split']} {name}: {_with_error(score, 4)} {score['unit']}")
    if result["accuracy"] is not None:
        lines.append(f"{result['split']} accuracy: {result['accuracy']:.4f}")
    if result["fid"]:
        fid = result["fid"]
        real = (
            ""
            if fid["real"] is None
            else f"; the {fid['real_split']} split's own {fid['num_real']} images: "
            f"{fid['real']:.2f}, the larger the fewer"
        )
        lines.append(
            f"FID {fid['value']:.2f} ({fid['num_samples']} samples against "
            f"{fid['reference']}, {fid['num_reference']} images{real}; {fid['features']}; "
            f"{fid['rounding']})"
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
