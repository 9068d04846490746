#!/usr/bin/env bash
# VAE, VAE with a diffusion prior, DDPM and VDM on real MNIST at equal training time: bits/dim, FID,
# sampling seconds. SECONDS_EACH of training steps per model (default half an hour).
set -euo pipefail
python -m launch.sweep --config=mnist_models --grid=model=vae,vae_vdm,ddpm,vdm --seeds=0,1,2 \
  --workdir="${RUNS:-runs}/mnist_models" --config.train.seconds="${SECONDS_EACH:-1800}" \
  --config.eval.estimators=elbo,elbo_discrete,fid --config.eval.max_examples=0 --config.eval.fid_samples=10000 \
  ${MNIST:+--config.data.dir=$MNIST}
