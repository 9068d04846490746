"""The fields every config starts from."""

from ml_collections import config_dict


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
                warmup_stairs=0,  # equal steps of the warm-up; 0: a line from 0
                b1=0.9,
                b2=0.999,
                eps=1e-8,
                weight_decay=0.0,  # decoupled
                l2=0.0,  # in the gradient
                clip_norm=0.0,  # global norm; 0 switches it off
                gradient_unit="nats",  # nats | bits_per_dim: of the gradient that is clipped
                groups=dict(encoder=1.0, decoder=1.0, prior=1.0),  # rate multipliers; 0 freezes
            ),
            train=dict(
                steps=1000,
                seconds=0.0,  # of training steps alone, after which it stops; 0: train.steps decide
                batch_size=128,
                ema_decay=0.999,
                ema_warmup=True,  # min(ema_decay, (1 + t)/(10 + t)) at step t
                steps_per_dispatch=0,  # 0: 1 on CPU, 100 on accelerators
                max_bad_steps=10,  # non-finite updates in a row that are skipped before stopping
                deterministic=False,  # deterministic GPU operations, for bitwise resume there
                fsdp=False,  # shard parameters over the devices instead of replicating them
                init_from=config_dict.placeholder(str),  # a run whose encoder, decoder are taken
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
                fid_features="classifier",  # or classifier:WORKDIR, inception:FILE, a dotted name
                fid_reference="train",  # the split whose features samples are compared with
                fid_samples=10_000,
            ),
            sample=dict(
                num=100,
                checkpoint="best",
                seed=0,
                sampler="",  # of diffusion priors: ancestral | ddim | dpmpp | ode; "" is their own
                sampler_steps=0,  # 0 is their own number
                eta=0.0,  # of ddim
                temperature=1.0,  # factor on the standard deviations of the prior's draws
                z_temperature=(),  # the same for a hierarchy's z_L..z_1: one, or one for each
            ),
            log=dict(every=100, tensorboard=True),
            checkpoint=dict(every=0, keep_latest=2),  # every: 0 means at each validation
        ),
        convert_dict=True,
    )


def smoke(config: config_dict.ConfigDict) -> None:
    """Shortens a run to seconds: few steps, few evaluation images; the data stays."""
    config.data.num_validation = min(config.data.num_validation, 64)
    config.train.update(steps=20, batch_size=16, steps_per_dispatch=0)
    config.optim.warmup_steps = min(config.optim.warmup_steps, 5)
    config.eval.update(every=10, batch_size=32, iwae_samples=4, iwae_chunk=2, max_examples=64)
    config.log.every = 5
    config.eval.estimators = tuple(e for e in config.eval.estimators if e != "fid")
    config.eval.fid_samples = 100
    config.sample.num = 16
