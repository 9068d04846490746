#!/usr/bin/env bash
# One run on a Cloud TPU slice, a process for every host, until it is done:
#
#   TPU_NAME=vdp ZONE=us-central2-b PYTHON=/shared/venv/bin/python launch/tpu.sh \
#     --accelerator-type=v4-32 --version=tpu-ubuntu2204-base --spot \
#     -- --config=cifar10_dvp --config.eval.batch_size=256 \
#     --config.data.dir=/shared/data/cifar10 --workdir=/shared/runs/cifar10
#
# What comes before `--` goes to `gcloud compute tpus tpu-vm create`, where there is no such slice
# yet; what comes after it to vdp.main. PYTHON and the workdir are on a file system that all hosts
# mount, for instance by --metadata-from-file=startup-script=FILE. A slice that was preempted is
# created anew; after 143 (stopped by SIGTERM, saved) the same command runs again. The slice stays
# when the run is done.
set -euo pipefail

: "${TPU_NAME:?the name of the slice}" "${ZONE:?its zone}" "${PYTHON:?the python that has vdp}"

create=()
while (($#)) && [[ $1 != -- ]]; do
  create+=("$1")
  shift
done
if ! (($#)); then
  echo "error: -- is missing: options of create, then --, then the arguments of vdp.main" >&2
  exit 2
fi
shift
printf -v command '%q ' "$PYTHON" -m vdp.main --multihost "$@"
printf -v mounted 'command -v %q > /dev/null' "$PYTHON" # a slice is READY before its file systems
command="for _ in {1..60}; do $mounted && break; sleep 10; done; $command"

tpu() { # the verb, then its options
  gcloud compute tpus tpu-vm "$1" "$TPU_NAME" --zone="$ZONE" "${@:2}"
}

said=$(mktemp)
trap 'rm -f "$said"' EXIT

state() { # empty where there is no such slice, UNKNOWN where gcloud cannot tell
  if ! tpu describe --format='value(state)' 2>"$said" && ! grep -q NOT_FOUND "$said"; then
    cat "$said" >&2
    echo UNKNOWN
  fi
}

made=
while :; do
  now=$(state)
  case $now in
    READY) ;;
    "")
      code=0
      tpu create "${create[@]}" || code=$?
      if [[ $code -ne 0 && -z $made ]]; then
        exit "$code"
      elif [[ $code -ne 0 ]]; then # no room for it now, as usual after a preemption
        sleep "${POLL:-20}"
        continue
      fi
      ;;
    PREEMPTED | TERMINATED)
      tpu delete --quiet
      continue
      ;;
    *) # on its way to another state, or gcloud does not answer
      if [[ $now == UNKNOWN && -z $made ]]; then # as without credentials
        exit 1
      fi
      echo "$TPU_NAME is $now" >&2
      sleep "${POLL:-20}"
      continue
      ;;
  esac
  made=yes
  code=0
  tpu ssh --worker=all --command="$command" || code=$?
  if [[ $code -ne 143 && ($code -eq 0 || $(state) == READY) ]]; then
    exit "$code"
  fi
done
