#!/bin/sh
# The real FastChat in an environment of its own, for tests/interop: 206 MB, no torch. Its pins are old and would break ours.
#
#   scripts/fastchat_env.sh            # makes .venv-fastchat beside this checkout's files
#   LLAVA_GRAPH_FASTCHAT=/elsewhere scripts/fastchat_env.sh
#
# The tests find it through the same variable and skip themselves where it is not there.
set -eu
cd "$(dirname "$0")/.."
env="${LLAVA_GRAPH_FASTCHAT:-.venv-fastchat}"
python="${PYTHON:-python3}"
[ -x "$env/bin/python" ] || "$python" -m venv "$env"
"$env/bin/python" -m pip install --quiet --disable-pip-version-check \
    fschat==0.2.36 pydantic==1.10.27 fastapi==0.119.1 starlette==0.48.0 uvicorn==0.54.0 psutil
"$env/bin/python" -c "import fastchat.serve.controller, fastchat.serve.openai_api_server" 
echo "$env"
