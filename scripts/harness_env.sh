#!/bin/sh
# lmms-eval or VLMEvalKit in an environment of its own, for tests/interop. Each needs about 6 GB: torchvision fits only the torch
# with CUDA that it was built with, even where there is no GPU.
#
#   scripts/harness_env.sh lmms-eval     # .venv-lmms-eval: lmms-eval 0.7.3
#   scripts/harness_env.sh vlmevalkit    # .venv-vlmevalkit: VLMEvalKit, from PyPI as ms-vlmeval 0.0.20
#   LLAVA_GRAPH_HARNESSES=/elsewhere/env scripts/harness_env.sh lmms-eval     # /elsewhere/env-lmms-eval
#
# The tests find both through the same variable and skip themselves where they are not there.
set -eu
cd "$(dirname "$0")/.."
name="${1:-}"
env="${LLAVA_GRAPH_HARNESSES:-.venv}-$name"
case "$name" in
    # Newer releases of filelock lack the module that lmms-eval reaches into.
    lmms-eval) pins="lmms-eval==0.7.3 filelock==3.20.4" try="import lmms_eval, filelock._api" ;;
    vlmevalkit) pins="ms-vlmeval==0.0.20" try="import vlmeval" ;;
    *) echo "lmms-eval or vlmevalkit?" >&2; exit 2 ;;
esac
[ -x "$env/bin/python" ] || "${PYTHON:-python3}" -m venv "$env"
# shellcheck disable=SC2086  (a list of words)
"$env/bin/python" -m pip install --quiet --disable-pip-version-check "torch==2.14.1" "torchvision==0.29.1" $pins
"$env/bin/python" -c "$try"
echo "$env"
