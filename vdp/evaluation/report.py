"""The result of an evaluation in words."""

import math
from typing import Any


def in_words(result: dict[str, Any]) -> list[str]:
    """What an eval.json holds, one line a quantity; of older versions too."""
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
    if (found := result.get("score")) and found["name"] != "squared_error":  # mse says that one
        name = found["name"]
        lines.append(f"{result['split']} {name}: {_with_error(found, 4)} {found['unit']}")
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
