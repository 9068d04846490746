#!/usr/bin/env bash
# Pixel-space VDM (65 blocks at full resolution) and DDPM on CIFAR-10 shapes: steps/s, memory and
# compile time in float32 and bfloat16. No samples: 1,000 of them take a thousand passes each.
set -euo pipefail
for config in cifar10_vdm cifar10_ddpm; do
  small="train.steps_per_dispatch=5 train.batch_size=128 ${CIFAR10:+data.dir=$CIFAR10}"
  python -m benchmarks.step_variants --steps=10 --rounds=3 \
    "$config float32: $config $small" \
    "$config bfloat16: $config $small model.prior.denoiser.dtype=bfloat16"
done
