"""The hierarchical configs: a ladder with pseudo-inputs, and its variants."""

from typing import Any

from ml_collections import config_dict

from vdp.errors import UserError
from vdp.variants.fields import defaults, smoke
from vdp.variants.grammar import ANY_NAME, Variant, parse
from vdp.variants.priors import (
    ANY_SCHEDULE,
    PRIOR_CHOICES,
    SCHEDULES,
    TRAINING,
    check_transform,
    prior,
    schedule,
    set_training,
)
from vdp.variants.shapes import Shape

CODES = ("dct", "downsample", "linear", "none")
AGGREGATION = {"full": "aggregation", "none": "features", "z_1": "z_1"}
OVER_CODE = ("vdm", "ddpm", "flow", "tarflow", "trajectory", "mixture", "normal")
Z_FLOOR = {"vdm": -9.0, "ddpm": -5.0}  # of q's log-variance under a diffusion over z_L, which is
# no sharper than its first noise: tables of 1000 betas, and cosine ones from 25 on, start below


def dvp(
    arg: str,
    *,
    data: dict,
    likelihood: dict,
    published: Shape,
    default: Shape,
    depths: dict[int, tuple[int, ...]],
    train_images: int,
    image_size: int = 28,
    standardise: tuple[float, float] = (0.5, 0.5),
    evaluation: dict | None = None,
    light: Shape | None = None,
) -> config_dict.ConfigDict:
    """A hierarchical VAE, DVP-VAE unless the argument says otherwise (Kuzina & Tomczak 2024).

    Words: `ladder` (no pseudo-inputs), `vamp` (a VampPrior on z_L in their place), `reference` (the
    published shape, start and training rule), `light` (a smaller shape, where there is one),
    `smoke`. Keys: `pseudoinput`, `size`, `prior` (over u; with pseudoinput=none over z_L, `auto`
    then being the ladder's own), `components` (of vamp and mixture), `aggregation`, `posterior`,
    `depth` (latents in all), `form` and `schedule` of the diffusion priors, `transform` of flow,
    `training` (apart from the prior: in the separate form).

    Args:
      arg: the config's argument.
      data: fields of `config.data`.
      likelihood: its spec.
      published: the shape of `reference`.
      default: the shape without it.
      depths: latents per scale for each `depth`; for the first, the shapes' own stand. Without
        any there is no such key.
      train_images: in one epoch.
      image_size: pixels of a side; `size` goes to 11 at most.
      standardise: mean and deviation of the encoder's input in `reference`.
      evaluation: fields of `config.eval`.
      light: the shape of `light`, with latents of its own.
    """
    variant = parse_argument(arg, depths, image_size, () if light is None else ("light",))
    reference, small = variant.has("reference"), variant.has("smoke")
    shape = published if reference else default
    if light is not None and variant.has("light"):
        if reference or variant.get("depth"):
            raise UserError("light is a shape of its own: leave out reference and depth")
        shape = light
    code = "none" if variant.has("ladder") or variant.has("vamp") else variant["pseudoinput"]
    _check(variant, code)
    scales = shape.scales
    if depths and variant["depth"] not in (0, next(iter(depths))):
        per_scale = depths[variant["depth"]]
        scales = tuple((h, n, c) for (h, _, c), n in zip(scales, per_scale, strict=True))
    if small:  # two latents: a stack is more than one
        scales = tuple((h, min(n, 2), c) for h, n, c in scales)
    width, hidden, blocks = (8, 8, 1) if small else (shape.width, shape.hidden, shape.blocks)
    body: dict[str, Any] = dict(width=width, hidden=hidden, patch=shape.patch, remat=False)
    body |= dict(blocks_by="auto", dtype="float32")
    output = AGGREGATION.get(variant["aggregation"], shape.output_from)
    epoch_steps = max(train_images // shape.batch_size, 1)
    config = defaults()
    config.data.update(data)
    config.model = dict(
        name="hvae",
        scales=scales,
        encoder=dict(name="LadderEncoder", blocks=blocks, **body),
        decoder=dict(
            name="LadderDecoder",
            output_from=output,
            head_blocks=min(shape.head_blocks, 1) if small else shape.head_blocks,
            zero="last" if reference else "all",
            **body,
        ),
        likelihood=likelihood,
        posterior=variant["posterior"],
        log_var_p=(-10.0, 1.0),
        log_var_q=(-10.0, 1.0),
        beta=1.0,
        kl_warmup_steps=round(shape.kl_warmup_epochs * epoch_steps),
        free_bits=0.0,
    )
    if reference:
        config.model.update(input_mean=standardise[0], input_std=standardise[1])
    if code != "none":
        config.model.pseudoinput = dict(name=code, size=variant["size"] or shape.code_size)
        if code == "downsample":
            config.model.pseudoinput.antialias = not reference
    chosen = _prior(variant, code, shape, small)
    if chosen:
        config.model.prior = chosen
        if code == "none" and chosen["name"] in Z_FLOOR:
            config.model.log_var_q = (Z_FLOOR[chosen["name"]], 1.0)
    if code != "none":
        assert chosen is not None  # u has a prior always
        config.model.code_log_var = shape.gamma[0] if chosen["name"] in ("vdm", "ddpm") else -6.0
        if chosen.get("form") != "merged":
            config.model.log_var_u = (-12.0, -5.0 if reference else -2.0)
    _training(config, shape, epoch_steps, reference)
    set_training(config, variant["training"])
    if reference and code != "none" and chosen and chosen["name"] in ("vdm", "ddpm"):
        config.sample.update(clip=1.0, last_noise=False)  # as the program draws u
    if reference:
        config.eval.reverse = "fixed"
    config.eval.update(evaluation or {})
    if small:
        smoke(config)
        config.train.quick_compile = True  # so few steps take less time than a hierarchy compiles
    return config


def parse_argument(
    arg: str,
    depths: dict[int, tuple[int, ...]],
    image_size: int,
    shapes: tuple[str, ...] = (),
) -> Variant:
    """The argument of `dvp`, read, `shapes` being its words for some; UserError where it cannot."""
    sizes = (0, *range(3, min(image_size, 11) + 1))  # 0: the shape's own
    return parse(
        arg,
        words=("ladder", "vamp", "reference", *shapes, "smoke"),
        choices={
            "pseudoinput": CODES,
            "size": sizes,
            "prior": ("auto", *OVER_CODE, ANY_NAME),
            "components": (0, 500, 750, 1000),  # 0: the first of them
            "aggregation": ("auto", *AGGREGATION),  # auto: the shape's own
            "posterior": ("free", "precision"),
            **({"depth": (0, *depths)} if depths else {}),  # 0: the shape's own
            "form": ("auto", "merged", "separate"),
            "schedule": ("auto", *ANY_SCHEDULE),
            "transform": PRIOR_CHOICES["transform"],
            "training": TRAINING,
        },
    )


def _check(variant: Variant, code: str) -> None:
    """Refuses words and keys that contradict each other."""
    ladder, vamp = variant.has("ladder"), variant.has("vamp")
    if ladder and vamp:
        raise UserError("ladder and vamp are two models: choose one")
    check_transform(variant)
    chosen = variant["pseudoinput"] != CODES[0] or variant["size"]
    if code == "none" and (variant["size"] or variant["form"] != "auto"):
        raise UserError("size and form are of pseudo-inputs: leave them out, or choose one")
    if variant["components"] and not (vamp or variant["prior"] == "mixture"):
        raise UserError("components are of vamp and prior=mixture: leave them out, or choose one")
    if (ladder or vamp) and (chosen or variant["prior"] != "auto"):
        raise UserError("ladder and vamp have no pseudo-inputs and no other prior: leave those out")
    alone = code == "none" and variant["prior"] == "auto" and not vamp
    if (alone or vamp) and variant["schedule"] != "auto":
        raise UserError("schedule is of a diffusion prior, and there is none: leave it out")
    if alone and variant["training"] != "joint":
        raise UserError("training is of a prior beside a ladder: choose one, or a pseudoinput")


def _prior(variant: Variant, code: str, shape: Shape, small: bool) -> dict | None:
    """The spec of the prior over u or z_L, or None for the ladder's own p(z_L)."""
    components = 8 if small else variant["components"] or 500
    if variant.has("vamp"):
        return dict(name="vamp", num_components=components)
    name = variant["prior"]
    if name == "auto":
        if code == "none":
            return None
        name = "vdm"
    diffusion = name in ("vdm", "ddpm")
    reference = variant.has("reference")
    form = variant["form"]
    if form == "auto":
        merged = diffusion and code != "none" and not reference and variant["training"] == "joint"
        form = "merged" if merged else "separate"
    chosen = variant["schedule"]
    if chosen == "auto":
        chosen = "linear" if reference and name == "vdm" else SCHEDULES[0]
    spec = prior(
        {"prior": name, "schedule": chosen, "form": form, "transform": variant["transform"]},
        width=16 if small else 128,
        log_var_floor=Z_FLOOR["vdm"],
        num_components=components,
        num_steps=shape.num_steps,
        train_times=1,
        over_code=code != "none",
    )
    if diffusion:
        width, depth, dropout = (16, 1, 0.0) if small else shape.denoiser
        spec["denoiser"] = dict(
            name="UNetDenoiser", width=width, depth=depth, dropout=dropout, published=reference
        )
        spec["parameterization"] = "eps" if reference else "v"
    if name == "vdm" and code != "none":
        spec["schedule"] = schedule(chosen, gamma_0=shape.gamma[0], gamma_1=shape.gamma[1])
    return spec


def _training(
    config: config_dict.ConfigDict, shape: Shape, epoch_steps: int, reference: bool
) -> None:
    warmup = round(shape.warmup_epochs * epoch_steps)
    config.optim.update(
        name="adamax",
        learning_rate=shape.rates[0],
        final_learning_rate=shape.rates[1],
        warmup_steps=warmup,
        l2=1e-6,
        clip_norm=shape.clip_norm,
        gradient_unit="bits_per_dim",
    )
    if reference:
        config.optim.warmup_stairs = int(shape.warmup_epochs)
    config.train.update(
        steps=shape.epochs * epoch_steps,
        batch_size=shape.batch_size,
        ema_decay=0.999,
        ema_warmup=not reference,
    )
    if reference and "binarization" in config.data and config.data.binarization == "dynamic":
        config.data.encoder_input = "grey"
    config.eval.update(every=max(shape.epochs // 20, 1) * epoch_steps, batch_size=250)
    config.eval.update(iwae_samples=64, iwae_chunk=4)
    config.eval.estimators = ("elbo", "elbo_discrete", "iwae")
