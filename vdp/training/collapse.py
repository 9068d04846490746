"""What latents carry while a model trains; a posterior collapse is reported while it happens."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from vdp.dists import Normal
from vdp.metrics import latents
from vdp.types import Shape, Stochastic

NAMED = 6  # latents in a sentence
MENDING = {
    "beta": "a lower config.model.beta",
    "kl_warmup_steps": "a longer KL warm-up (config.model.kl_warmup_steps)",
    "free_bits": "a config.model.free_bits above 0",  # of latents with a KL of their own
}

Values = dict[str, float]
Histograms = dict[str, Float[np.ndarray, "_"]]


class Watch:
    """Measures every latent at validations, and says once of each that it has collapsed.

    A latent has collapsed when its rate is below LEAST_RATE (`vdp.metrics.latents`) at two
    validations in a row, both after the KL warm-up. Under a prior, whose rate may stay above
    although the code says nothing, posteriors that are alike for all images are a collapse too; the
    KL of a ladder's latent given those above is judged by the rate alone.

    Args:
      model: that trains.
      x_shape: (H, W, C) of an image.
      spec: of the model, as it is configured.
    """

    def __init__(self, model: Stochastic, x_shape: Shape, spec: Mapping[str, Any]):
        self._names = latents.names(model, x_shape)
        self._below = [row["name"] for row in model.latent_table(x_shape)]
        self._warmup = int(spec.get("kl_warmup_steps", 0))
        self._mending = [field for field in MENDING if field in spec]
        self._before: set[str] = set()
        self._said: set[str] = set()

    def measure(
        self, step: int, parts: Mapping[str, Float[np.ndarray, "n"]], q: Any
    ) -> tuple[Values, Histograms, str]:
        """What is logged of the latents, and a sentence where one has collapsed, else "".

        Args:
          step: of the validation.
          parts: of the bound over the validation images, in nats.
          q: of `encode` for one batch of them: a Normal, or several by name.

        Returns:
          ({"rate_NAME": nats an image, of each latent; "active_units": share of the units whose
          mean varies; "posterior_std": mean over images and units},
          {"rate_NAME": of each image, "posterior_std_NAME": of each unit}, the sentence).
        """
        by_name: Mapping[str, Normal] = q if isinstance(q, Mapping) else {self._below[0]: q}
        rates = latents.rates(parts, self._names)
        flat = lambda values: np.reshape(values, (len(values), -1))
        stds = {name: np.exp(flat(by_name[name].log_var) / 2) for name in self._below}
        means = np.concatenate([flat(by_name[name].mean) for name in self._below], axis=1)
        values = {f"rate_{name}": float(rate.mean()) for name, rate in rates.items()}
        values["active_units"] = latents.active_units([means[:, None]])["share"]
        values["posterior_std"] = float(np.concatenate(list(stds.values()), axis=1).mean())
        histograms = {f"rate_{name}": rate for name, rate in rates.items()}
        histograms |= {f"posterior_std_{name}": std.mean(0) for name, std in stds.items()}
        under_prior = {name: q for name, q in by_name.items() if name not in parts}
        return values, histograms, self._sentence(step, values, under_prior)

    def _sentence(self, step: int, values: Values, under_prior: Mapping[str, Normal]) -> str:
        """Of the rates, and of the posteriors of latents under a prior."""
        rates = {name: values.get(f"rate_{name}", np.inf) for name in self._names}
        now = {name for name, rate in rates.items() if rate < latents.LEAST_RATE}
        now |= {name for name, q in under_prior.items() if latents.signal(q) < latents.LEAST_RATE}
        if step < max(self._warmup, 1):
            return ""
        both, self._before = now & self._before, now
        new = [name for name in self._names if name in both - self._said]
        self._said |= both
        if not new:
            return ""
        told = [f"{name} ({rates[name]:.2g} nats)" for name in new[:NAMED]]
        more = f" and {len(new) - NAMED} others" if len(new) > NAMED else ""
        of = f" of {len(self._names)} latents" if len(self._names) > 1 else ""
        have_kl = any(name not in under_prior for name in new)
        ways = [MENDING[f] for f in self._mending if have_kl or f != "free_bits"]
        mending = f"; {' or '.join(ways)} may undo it" if ways else ""
        return (
            f"posterior collapse at step {step}: next to nothing of an image is in "
            f"{', '.join(told)}{more}{of}{mending}"
        )
