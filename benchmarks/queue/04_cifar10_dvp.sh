#!/usr/bin/env bash
# CIFAR-10 DVP-VAE, 28 latents, published shape: images/s, memory and compile time in float32 and
# bfloat16 (the published program: 122 images/s on an A100).
set -euo pipefail
for dtype in float32 bfloat16; do
  python -m benchmarks.train --config=cifar10_dvp:reference --steps=20 --rounds=3 \
    --config.train.steps_per_dispatch=5 \
    --config.model.encoder.dtype=$dtype --config.model.decoder.dtype=$dtype \
    ${CIFAR10:+--config.data.dir=$CIFAR10}
done
