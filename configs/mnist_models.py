"""VAE, VAE with a diffusion prior, DDPM and VDM on grey MNIST at equal training time.

Half an hour of training steps each on any machine (`--config.train.seconds`), a constant rate,
one evaluation: exact masses of 256 levels, so that their bounds can be compared. In pixel space
a step is 20 times dearer, so batches are smaller there (32, not 128) and the warm-up shorter; it is
sampled by 50 steps of DDIM; an evaluation with `--config.sample.sampler=ancestral
--config.sample.sampler_steps=0` takes all T.

Variants: `model=vae|vae_vdm|vdm|ddpm`, `smoke`.
"""

from vdp import variants

DATA = dict(name="mnist", num_validation=250)
DENOISER = dict(width=32, depth=1, multipliers=(1, 2, 2), attention=(7,))


def get_config(arg=""):
    """Returns the config."""
    variant = variants.parse(arg, choices={"model": ("vae", "vae_vdm", "vdm", "ddpm")})
    smoke = "smoke" if variant.has("smoke") else ""
    chosen, training = variant["model"], dict(batch_size=32, steps=10**7, rate=1e-3)
    if chosen == "vdm":
        config = variants.vdm(
            smoke, data=DATA, denoiser=DENOISER, gamma=(-13.3, 5.0), num_steps=250, **training
        )
    elif chosen == "ddpm":
        config = variants.ddpm(smoke, data=DATA, denoiser=DENOISER, num_steps=1000, **training)
    else:
        config = variants.dcgan(
            f"prior={'vdm' if chosen == 'vae_vdm' else 'normal'},{smoke}",
            data=DATA,
            latents=(40,),
            channels=(32, 64, 128),
            likelihoods=("discretized_logistic",),
            scale="predicted",
            epochs=20,  # KL annealing over two of them
            epoch_steps=467,
        )
    config.optim.schedule = "constant"
    if not smoke:
        config.optim.warmup_steps = 200 if chosen.startswith("vae") else 50
        config.train.ema_decay = 0.999
        config.sample.num = 64
        config.eval.estimators = ("elbo", "elbo_discrete", "fid")
        config.train.update(steps=10**7, seconds=1800.0)
        if chosen in ("vdm", "ddpm"):
            config.sample.update(sampler="ddim", sampler_steps=50)
        config.eval.update(every=1000, batch_size=64, max_examples=500, fid_samples=1000)
    return config
