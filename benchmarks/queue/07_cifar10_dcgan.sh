#!/usr/bin/env bash
# The CIFAR-10 row of Wehenkel & Louppe: ELBO, IWAE and FID of each prior at 40, 100, 200 latents.
# The features are the embedded classifier's, or Inception's where INCEPTION names its weights.
set -euo pipefail
python -m launch.sweep --config=cifar10_dcgan --workdir="${RUNS:-runs}/cifar10_dcgan" \
  --grid=prior=normal,flow,ddpm,vdm --grid=latent=40,100,200 --seeds=0 \
  ${CIFAR10:+--config.data.dir=$CIFAR10} \
  ${INCEPTION:+--config.eval.fid_features=inception:$INCEPTION}
