#!/usr/bin/env bash
# What every prior costs a training step and a sample beside the normal prior.
set -euo pipefail
python -m benchmarks.priors --config=mnist_dcgan ${MNIST:+--config.data.dir=$MNIST} --steps=400
python -m benchmarks.priors --config=cifar10_dcgan ${CIFAR10:+--config.data.dir=$CIFAR10} --steps=400
