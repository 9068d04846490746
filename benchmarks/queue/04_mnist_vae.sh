#!/usr/bin/env bash
# What the diffusion prior buys mnist_vae, in nats: run again after an interruption, it continues.
set -euo pipefail
for seed in 0 1 2; do
  for prior in vdm normal; do
    python -m vdp.main --config=mnist_vae:prior=$prior ${MNIST:+--config.data.dir=$MNIST} \
      --config.seed=$seed --workdir="${RUNS:-runs}/mnist_vae-$prior-$seed" \
      --config.eval.iwae_samples=1000 --config.eval.iwae_chunk=50
  done
done
