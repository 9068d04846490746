#!/usr/bin/env bash
# Steps of mnist_dvp:reference and cifar10_dvp beside the published PyTorch program's, alone on the
# same card (DVP=DIR is a clone of it), then where the time of our step goes: a trace of a hundred
# steps by jax.profiler in the run's folder, for the gap between 12.8 ms and the floor of 5.3 ms.
set -euo pipefail
export XLA_PYTHON_CLIENT_PREALLOCATE=false
if [ -n "${DVP:-}" ]; then
  python benchmarks/peers/dvp_vae.py --repo="$DVP" ${MNIST:+--mnist=$MNIST} --steps=40 --rounds=3
  python benchmarks/peers/dvp_vae.py --repo="$DVP" --experiment=cifar --steps=10 --rounds=3
fi
python -m benchmarks.step_variants --steps=200 --rounds=3 "mnist: mnist_dvp:reference"
python -m benchmarks.step_variants --steps=10 --rounds=3 \
  "cifar: cifar10_dvp train.steps_per_dispatch=5"
data="${MNIST:+--config.data.dir=$MNIST}"
python -m vdp.main --config=mnist_dvp:reference --workdir="${RUNS:-runs}/profile" \
  --config.train.steps=300 --config.log.profile_steps=100 --config.eval.estimators=elbo \
  "${data:---config.data.name=synthetic:28x28x1}"
