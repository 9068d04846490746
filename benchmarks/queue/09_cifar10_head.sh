#!/usr/bin/env bash
# What the head of cifar10_dvp:light sees: the sum of the finest latents, 3 numbers for the 12 of a
# patch of 2x2 pixels, or the decoder's features. By a model of the images alone the sum costs about
# 0.5 bits/dim.
set -euo pipefail
python -m launch.sweep --config=cifar10_dvp:light --workdir="${RUNS:-runs}/cifar10_head" \
  --grid=aggregation=full,none --seeds=0 --config.train.batch_size=128 --config.train.steps=4000 \
  --config.eval.every=1000 --config.eval.estimators=elbo ${CIFAR10:+--config.data.dir=$CIFAR10}
