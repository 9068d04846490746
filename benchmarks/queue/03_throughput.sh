#!/usr/bin/env bash
# Throughput of the convolutional configs; MNIST=DIR and CIFAR10=DIR name the real files.
set -euo pipefail
for steps in 1 100; do
  dispatch="--config.train.steps_per_dispatch=$steps"
  python -m benchmarks.train --config=mnist_vae ${MNIST:+--config.data.dir=$MNIST} "$dispatch" --steps=400
  python -m benchmarks.train --config=cifar10_vae ${CIFAR10:+--config.data.dir=$CIFAR10} "$dispatch" --steps=400
  python -m benchmarks.input_overhead --config=mnist_vae ${MNIST:+--config.data.dir=$MNIST} "$dispatch" --steps=400
done
