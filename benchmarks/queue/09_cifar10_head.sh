#!/usr/bin/env bash
# cifar10_dvp:light whose likelihood sees the decoder's features, by as many steps of as many images
# as it was given when it saw the sum of the latents (docs/results.md).
set -euo pipefail
python -m vdp.main --config=cifar10_dvp:light --workdir="${RUNS:-runs}/cifar10_head" \
  --config.train.batch_size=128 --config.train.steps=24000 --config.eval.every=4000 \
  --config.eval.estimators=elbo,elbo_discrete,fid --config.eval.fid_samples=2000 \
  ${CIFAR10:+--config.data.dir=$CIFAR10}
