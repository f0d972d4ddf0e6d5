#!/usr/bin/env bash
# The packaged model on a bare GPU machine that has torch, transformers, peft, matplotlib, OpenCV, pyarrow and pandas, but
# not this project nor `datasets`: its wheel and those of dill and multiprocess lie in .whl/ beside the project.
#   scripts/packaged_on_gpu.sh MINUTES OUT [more options of scripts/train_packaged.py]
# Takes MINUTES, and two more to answer the test figures where they lie in .eval/.
set -eu
minutes=$1 out=$2
shift 2
cd "$(dirname "$0")/.."
site=${SITE:-/tmp/packaged-site}
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" .whl/*.whl
# The plan of a run tells the project's version, which is asked from its metadata.
mkdir -p "$site/llava_graph-0.1.0.dist-info"
printf 'Metadata-Version: 2.1\nName: llava-graph\nVersion: 0.1.0\n' >"$site/llava_graph-0.1.0.dist-info/METADATA"
export PYTHONPATH=$site PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
mount -o remount,size=50% /dev/shm 2>/dev/null || true # batches of images go from process to process through it
nvidia-smi --query-gpu=name,memory.free --format=csv,noheader || true
df -h /dev/shm | tail -1
python3 scripts/train_packaged.py --minutes "$minutes" --out "$out" --work /tmp/packaged-work "$@"
# The test figures (python -m benchmarks.packaged_items .eval), answered by the model and by its text stage alone.
if [ -d .eval ]; then
	answer="python3 -m benchmarks.packaged_answers --items .eval"
	$answer --model /tmp/packaged-work/final --out "$out/answers.json" --fewer 2 --seconds "${ANSWER_S:-60}"
	$answer --model /tmp/packaged-work/text --out "$out/answers-text.json" --conditions "caption + OCR, no image"
fi
