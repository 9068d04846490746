"""The fields every config starts from."""

from ml_collections import config_dict

from vdp.settings import Settings
from vdp.settings.parse import to_config


def defaults() -> config_dict.ConfigDict:
    """The fields every run has; a config fills in `data`, `model` and what it wants otherwise."""
    return to_config(Settings())


def smoke(config: config_dict.ConfigDict) -> None:
    """Shortens a run to seconds: few steps, few evaluation images; the data stays."""
    config.data.num_validation = min(config.data.num_validation, 64)
    config.train.update(steps=20, batch_size=16, steps_per_dispatch=0)
    config.train.update(epochs=0.0, kl_warmup_epochs=0.0)
    config.optim.update(warmup_steps=min(config.optim.warmup_steps, 5), warmup_epochs=0.0)
    if "kl_warmup_steps" in config.model:
        config.model.kl_warmup_steps = min(config.model.kl_warmup_steps, 5)
    config.eval.update(every=10, every_epochs=0.0)
    config.eval.update(batch_size=32, iwae_samples=4, iwae_chunk=2, max_examples=64)
    config.log.every = 5
    config.eval.estimators = tuple(e for e in config.eval.estimators if e != "fid")
    config.eval.fid_samples = 100
    config.sample.num = 16
