#!/bin/sh
# The real FastChat in an environment of its own, for tests/interop. Its pins are old and would break ours.
#
#   scripts/fastchat_env.sh          # .venv-fastchat: controller and OpenAI server; 206 MB, no torch
#   scripts/fastchat_env.sh torch    # .venv-fastchat-torch: its model worker, with torch
#   scripts/fastchat_env.sh votes    # the first one with what its log analysis needs; 540 MB
#   LLAVA_GRAPH_FASTCHAT=/elsewhere/fastchat scripts/fastchat_env.sh
#
# The tests find both through the same variable and skip themselves where they are not there.
set -eu
cd "$(dirname "$0")/.."
env="${LLAVA_GRAPH_FASTCHAT:-.venv-fastchat}"
pins="fschat==0.2.36 psutil"
if [ "${1:-}" = torch ]; then
    env="$env-torch"
    # pydantic 2 breaks the streams of its OpenAI server; the torch environment runs the model worker only.
    pins="$pins pydantic==2.10.6 fastapi==0.115.14 starlette==0.46.2 torch>=2.6,<2.14 transformers==4.57.6 \
        huggingface_hub==0.36.2 accelerate sentencepiece protobuf peft"
    try="import fastchat.serve.model_worker"
else
    pins="$pins pydantic==1.10.27 fastapi==0.119.1 starlette==0.48.0 uvicorn==0.54.0"
    try="import fastchat.serve.controller, fastchat.serve.openai_api_server"
    [ "${1:-}" != votes ] || pins="$pins pandas plotly pytz scikit-learn tqdm"
fi
[ -x "$env/bin/python" ] || "${PYTHON:-python3}" -m venv "$env"
# shellcheck disable=SC2086  (a list of words)
"$env/bin/python" -m pip install --quiet --disable-pip-version-check $pins
"$env/bin/python" -c "$try"
echo "$env"
