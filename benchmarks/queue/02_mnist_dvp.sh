#!/usr/bin/env bash
# DVP-VAE on real MNIST for the published 300 epochs, published and default shape: test ELBO and
# IWAE-1000 with errors, active units, rates; then throughput. Cut into pieces, it resumes by itself.
set -euo pipefail
for variant in reference default; do
  config=mnist_dvp; [ "$variant" = reference ] && config=mnist_dvp:reference
  workdir="${RUNS:-runs}/mnist_dvp-$variant"
  python -m vdp.main --config="$config" --workdir="$workdir" \
    --config.eval.iwae_samples=1000 --config.eval.iwae_chunk=10 \
    --config.eval.estimators=elbo,elbo_discrete,elbo_ode,iwae,dvp_reference \
    ${MNIST:+--config.data.dir=$MNIST}
  python -m benchmarks.train --config="$config" ${MNIST:+--config.data.dir=$MNIST} --steps=200
done
