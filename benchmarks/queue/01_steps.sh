#!/usr/bin/env bash
# The step of mnist_dvp:reference beside the published PyTorch program's on the same card (DVP=DIR is
# a clone of it), as it is (its blocks a loop), with them as a scan, and in bfloat16. The compiler's
# floor for an H100 is 6.2 ms; with a state that was not packed, a step took 14.6 ms there.
set -euo pipefail
scan="model.encoder.blocks_by=scan model.decoder.blocks_by=scan"
half="model.encoder.dtype=bfloat16 model.decoder.dtype=bfloat16"
if [ -n "${DVP:-}" ]; then
  python benchmarks/peers/dvp_vae.py --repo="$DVP" ${MNIST:+--mnist=$MNIST} --steps=40 --rounds=3
  python benchmarks/peers/dvp_vae.py --repo="$DVP" --experiment=cifar --steps=10 --rounds=3
fi
export XLA_PYTHON_CLIENT_PREALLOCATE=false
python -m benchmarks.step_variants --steps=300 --rounds=4 --patience=400 \
  "loop: mnist_dvp:reference" "scan: mnist_dvp:reference $scan" "half: mnist_dvp:reference $half"
