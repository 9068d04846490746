#!/usr/bin/env bash
# VAE, VAE with a diffusion prior, DDPM and VDM on real MNIST at equal training time: bits/dim, FID,
# sampling seconds; in pixel space by 50 steps of DDIM and by all T. SECONDS_EACH of training steps per
# model (default half an hour).
set -euo pipefail
folder="${RUNS:-runs}/mnist_models"
judged=("--config.eval.estimators=elbo,elbo_discrete,fid" --config.eval.max_examples=0 --config.eval.fid_samples=10000)
python -m launch.sweep --config=mnist_models --grid=model=vae,vae_vdm,ddpm,vdm --seeds=0,1,2 \
  --workdir="$folder" --config.train.seconds="${SECONDS_EACH:-1800}" "${judged[@]}" \
  ${MNIST:+--config.data.dir=$MNIST}
for run in "$folder"/model={ddpm,vdm}/seed-*; do
  compgen -G "$run/eval-best-test-other-*.json" > /dev/null || python -m vdp.main --mode=eval --workdir="$run" \
    --config.sample.sampler=ancestral --config.sample.sampler_steps=0 --config.eval.estimators=fid
done
