"""The grammar of a config's argument, and the fields every config starts from; no jax here."""

from collections.abc import Mapping, Sequence

from ml_collections import config_dict

from vdp.errors import UserError


class Variant(dict):
    """A parsed config argument: `variant["prior"]`, `variant.has("smoke")`."""

    def has(self, word: str) -> bool:
        """Whether the bare word stood in the argument."""
        return bool(self.get(word))


def parse(
    arg: str | None,
    *,
    words: Sequence[str] = ("smoke",),
    choices: Mapping[str, Sequence] | None = None,
) -> Variant:
    """Parses `word,key=value,...` in any order.

    Args:
      arg: what follows the colon of `--config=FILE:ARG`; None and "" mean no variant.
      words: bare words that switch something on.
      choices: for each key the accepted values, the default first; integers stay integers.

    Returns:
      A Variant with every word (True or False) and every key (the default where not given).

    Raises:
      UserError: an unknown or repeated word, key or value; the message lists what exists.
    """
    choices = dict(choices or {})
    result = Variant({word: False for word in words})
    result.update({key: values[0] for key, values in choices.items()})
    exists = ", ".join([*words, *(f"{k}={'|'.join(map(str, v))}" for k, v in choices.items())])
    seen = set()
    for item in filter(None, (part.strip() for part in (arg or "").split(","))):
        key, has_value, text = item.partition("=")
        if key in seen:
            raise UserError(f"variant {key!r} is given twice; there is: {exists}")
        seen.add(key)
        if not has_value and key in words:
            result[key] = True
            continue
        values = {str(value): value for value in choices.get(key, ())}
        if not has_value or text not in values:
            raise UserError(f"unknown variant {item!r}; there is: {exists}")
        result[key] = values[text]
    return result


def defaults() -> config_dict.ConfigDict:
    """The fields every run has; a config fills in `data`, `model` and what it wants otherwise."""
    return config_dict.ConfigDict(
        dict(
            seed=0,
            data=dict(
                name=config_dict.placeholder(str),
                dir=config_dict.placeholder(str),  # default: $VDP_DATA/<name>
                download=False,  # let tensorflow-datasets fetch what is missing
                verify=True,  # compare with published checksums and counts
                num_validation=0,  # held out of the training split
                split_seed=0,
                binarization="none",  # none | dynamic
                encoder_input="target",  # target | grey: what the encoder sees when binarised
                binarization_seed=0,  # of the one draw that evaluation uses
                augmentation="none",  # none | flip
                placement="auto",  # auto | device | host: where the training images live
            ),
            model=dict(),
            optim=dict(
                name="adamw",
                learning_rate=1e-3,
                final_learning_rate=0.0,
                schedule="cosine",  # cosine | linear | constant, after the warm-up
                warmup_steps=0,
                b1=0.9,
                b2=0.999,
                eps=1e-8,
                weight_decay=0.0,  # decoupled
                l2=0.0,  # in the gradient
                clip_norm=0.0,  # global norm; 0 switches it off
                groups=dict(encoder=1.0, decoder=1.0, prior=1.0),  # rate multipliers; 0 freezes
            ),
            train=dict(
                steps=1000,
                batch_size=128,
                ema_decay=0.999,
                ema_warmup=True,  # min(ema_decay, (1 + t)/(10 + t)) at step t
                steps_per_dispatch=0,  # 0: 1 on CPU, 100 on accelerators
                max_bad_steps=10,  # non-finite updates in a row that are skipped before stopping
                deterministic=False,  # deterministic GPU operations, for bitwise resume there
                fsdp=False,  # shard parameters over the devices instead of replicating them
            ),
            eval=dict(
                every=500,  # steps between validations
                estimators=("elbo", "iwae"),
                split="test",
                checkpoint="best",  # best | latest | a step
                batch_size=250,
                iwae_samples=64,
                iwae_chunk=8,
                max_examples=0,  # 0: the whole split
                seed=0,
            ),
            sample=dict(num=100, checkpoint="best", seed=0, sampler_steps=0),
            log=dict(every=100, tensorboard=True),
            checkpoint=dict(every=0, keep_latest=2),  # every: 0 means at each validation
        ),
        convert_dict=True,
    )


PRIORS = ("vdm", "normal")


def prior(name: str, *, width: int, depth: int = 3, log_var_floor: float = -8.0) -> dict:
    """The spec of a prior over a vector latent, for `prior=NAME`.

    Args:
      name: one of PRIORS.
      width: of its networks.
      depth: of its networks.
      log_var_floor: the posterior's; a diffusion prior's gamma_0 starts 2 below and stays below.
    """
    if name == "normal":
        return dict(name="normal")
    return dict(
        name="vdm",
        denoiser=dict(name="MLPDenoiser", width=width, depth=depth),
        schedule=dict(
            name="learned_scalar",
            gamma_0=log_var_floor - 2.0,
            gamma_1=6.0,
            gamma_0_max=log_var_floor,
        ),
        num_steps=100,
    )


def smoke(config: config_dict.ConfigDict) -> None:
    """Shortens a run to seconds: few steps, few evaluation images; the data stays."""
    config.data.num_validation = min(config.data.num_validation, 64)
    config.train.update(steps=20, batch_size=16, steps_per_dispatch=0)
    config.optim.warmup_steps = min(config.optim.warmup_steps, 5)
    config.eval.update(every=10, batch_size=32, iwae_samples=4, iwae_chunk=2, max_examples=64)
    config.log.every = 5
    config.sample.num = 16
