#!/usr/bin/env bash
# The step of mnist_dvp:reference beside the published PyTorch program's on the same card (DVP=DIR is
# a clone of it), and with its blocks as a scan, as a loop, and in bfloat16.
set -euo pipefail
loop="model.encoder.blocks_by=loop model.decoder.blocks_by=loop"
half="model.encoder.dtype=bfloat16 model.decoder.dtype=bfloat16"
if [ -n "${DVP:-}" ]; then
  python benchmarks/peers/dvp_vae.py --repo="$DVP" ${MNIST:+--mnist=$MNIST} --steps=40 --rounds=3
  python benchmarks/peers/dvp_vae.py --repo="$DVP" --experiment=cifar --steps=10 --rounds=3
fi
export XLA_PYTHON_CLIENT_PREALLOCATE=false
python -m benchmarks.step_variants --steps=300 --rounds=4 --patience=400 \
  "loop: mnist_dvp:reference $loop" "scan: mnist_dvp:reference" "half: mnist_dvp:reference $loop $half"
