"""The priors of `prior=NAME` with their fields, and how a config trains one beside its model."""

from collections.abc import Mapping, Sequence

from ml_collections import config_dict

from vdp.errors import UserError
from vdp.variants.grammar import ANY_NAME

PRIORS = ("vdm", "ddpm", "flow", "tarflow", "trajectory", "vamp", "mixture", "normal")
SCHEDULES = (
    "learned_scalar",
    "learned_monotone",
    "linear",
    "cosine",
    "beta_linear",
    "beta_cosine",
)
ANY_SCHEDULE = (*SCHEDULES, ANY_NAME)
PRIOR_CHOICES: dict[str, Sequence] = {
    "prior": (*PRIORS, ANY_NAME),
    "schedule": ANY_SCHEDULE,
    "form": ("separate", "merged"),
    "transform": ("affine", "spline"),
}
TRAINING = ("joint", "detached", "prior")
POINT_RATES = {"vamp": 100.0, "mixture": 10.0}  # multiples for priors whose parameters are places


def prior(
    variant: Mapping,
    *,
    width: int,
    depth: int = 3,
    log_var_floor: float = -7.0,
    num_components: int = 100,
    num_steps: int = 100,
    train_times: int = 4,
    over_code: bool = False,
) -> dict:
    """The spec of a prior over a vector latent, with every field it accepts, if it is vdp's.

    Args:
      variant: values of PRIOR_CHOICES; `schedule` is of vdm, `form` of vdm and ddpm, `transform`,
        "affine" where it is left out, of flow.
      width: of its networks.
      depth: of its networks.
      log_var_floor: the posterior's; a diffusion prior's gamma_0 starts 2 below and stays below,
        but a learned one of the merged form starts 2 above. The cosine table of 100 betas starts
        at gamma_0 = -7.4.
      num_components: of vamp and mixture.
      num_steps: T of the diffusion priors.
      train_times: of them too. A small denoiser costs little beside encoder and decoder.
      over_code: whether the latent is a pseudo-input u. An encoder can make its latents N(0, I),
        but u is what it is, with a variance near 0.05 on MNIST: normal learns its moments there,
        and trajectory has lower gammas.
    """
    name, schedule, form = variant["prior"], variant["schedule"], variant["form"]
    foreign = (schedule != SCHEDULES[0] and name != "vdm") or (
        form != "separate" and name not in ("vdm", "ddpm")
    )
    if foreign:
        raise UserError(
            f"schedule is of prior=vdm, form of prior=vdm and prior=ddpm, not of {name}"
        )
    spline = check_transform(variant)
    if name not in PRIORS:  # one's own, at its own defaults
        return dict(name=name)
    diffusion = dict(
        denoiser=dict(name="MLPDenoiser", width=width, depth=depth),
        parameterization="v",
        form=form,
        weights="bound",
        times="low_discrepancy",
        num_steps=num_steps,
        reverse="fixed",
        train_times=train_times,
        teacher_steps=0,
        ode_steps=32,
        ode_probes=0,
    )
    return {
        "normal": dict(name="normal", learned=over_code),
        "mixture": dict(name="mixture", num_components=num_components, spread=1.0),
        "vamp": dict(name="vamp", num_components=num_components),
        "flow": dict(
            name="flow",
            net=dict(name="MADE", width=width, depth=2, bounds="narrow"),
            num_flows=3,
        )
        | (dict(transform="spline", num_bins=8, tail_bound=5.0) if spline else {}),  # runs of
        # version 0.1 do not have these fields
        "tarflow": dict(
            name="tarflow",
            net=dict(name="CausalTransformer", width=4 * max(width // 8, 1), depth=2, heads=4),
            num_flows=4,
            patch_size=1,
            token_size=1,
        ),
        "trajectory": dict(
            name="trajectory",
            net=dict(name="ConditionalMADE", width=width, depth=2),
            # the first state has gamma(1/T): a flow step can remove more noise than a Gaussian
            schedule=dict(
                name="linear",
                gamma_0=-6.0 if over_code else -3.0,
                gamma_1=2.0 if over_code else 4.0,
            ),
            num_steps=4,
        ),
        "ddpm": dict(name="ddpm", betas="cosine", bound="discrete", **diffusion),
        "vdm": dict(
            name="vdm",
            schedule=_schedule(schedule, form, log_var_floor),
            bound="continuous",
            num_times=32,
            **diffusion,
        ),
    }[name]


def check_transform(variant: Mapping) -> bool:
    """Whether `transform` is a spline; UserError where it is, of another prior than flow."""
    spline = variant.get("transform", "affine") == "spline"
    if spline and variant["prior"] != "flow":
        raise UserError("transform=spline is of prior=flow: choose it too, or leave the spline out")
    return spline


def _schedule(name: str, form: str, log_var_floor: float) -> dict:
    if not name.startswith("learned_"):
        return schedule(name, gamma_0=log_var_floor - 2.0, gamma_1=6.0)
    if form == "merged":  # gamma_0 is the posterior's own log-variance, and stays near its start
        return dict(name=name, gamma_0=log_var_floor + 2.0, gamma_1=6.0)
    return dict(name=name, gamma_0=log_var_floor - 2.0, gamma_1=6.0, gamma_0_max=log_var_floor)


def schedule(name: str, *, gamma_0: float, gamma_1: float) -> dict:
    """The spec of a schedule between two ends; a table of betas and one's own have theirs.

    Args:
      name: one of SCHEDULES, or MODULE.NAME.
      gamma_0: the clean end.
      gamma_1: the noisy end.
    """
    if "." in name:
        return dict(name=name)
    if name.startswith("beta_"):
        return dict(name=name, num_steps=1000)
    return dict(name=name, gamma_0=gamma_0, gamma_1=gamma_1)


def set_training(config: config_dict.ConfigDict, mode: str) -> None:
    """Sets how the prior is trained beside its model: `training=MODE`, and the rate of its points.

    MODE is "joint", "detached", or "prior", alone on a frozen autoencoder. Over flat latents the
    means of a mixture and the pseudo-inputs of a VampPrior move faster than networks: a step of
    Adam moves a number by about the rate, and they have far to go.

    "joint" is what a model does without the field, which runs of version 0.1 do not have.
    """
    if config.model.name == "vae" and (rate := POINT_RATES.get(config.model.prior.name)):
        config.optim.groups.prior = rate
    if mode != "joint":
        config.model.training = mode
    if mode == "prior":
        held = [g for g in config.optim.groups if g.split("/")[0] in ("encoder", "decoder")]
        config.optim.groups.update(dict.fromkeys(held, 0.0))
        if config.model.get("pseudoinput", {}).get("name") == "linear":  # the one that learns
            config.optim.groups.pseudoinput = 0.0
