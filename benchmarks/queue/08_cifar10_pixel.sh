#!/usr/bin/env bash
# Pixel-space VDM (65 blocks at full resolution) and DDPM on CIFAR-10 shapes: images/s, memory and
# compile time in float32 and bfloat16.
set -euo pipefail
for config in cifar10_vdm cifar10_ddpm; do
  for dtype in float32 bfloat16; do
    python -m benchmarks.train --config=$config --steps=10 --rounds=3 \
      --config.train.steps_per_dispatch=5 --config.train.batch_size=128 \
      --config.model.prior.denoiser.dtype=$dtype ${CIFAR10:+--config.data.dir=$CIFAR10}
  done
done
