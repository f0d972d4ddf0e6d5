"""Several runs of the trainer in the same processes: `torchrun tests/runs.py LIST`, or `python tests/runs.py LIST`.

LIST is a JSON file: a run is a list of flags, and {"copy": [from, to]} copies a folder in between. Importing torch, transformers
and DeepSpeed takes far longer than the runs of a tiny model; this way it is paid once.
"""

import gc
import json
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def forget() -> None:
    """What accelerate and transformers keep between runs, as a new process would not have it."""
    from accelerate.state import AcceleratorState
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    for name in ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP"):
        os.environ.pop(name, None)
    unset_hf_deepspeed_config()
    AcceleratorState._reset_state(True)
    gc.collect()


def main(file: Path) -> None:
    sys.path.insert(0, str(ROOT))
    import torch

    from train.train_mem import train

    for step in json.loads(file.read_text()):
        if isinstance(step, list):
            train(step)
            forget()
            continue
        source, target = step["copy"]
        if int(os.environ.get("RANK", "0")) == 0:
            shutil.copytree(source, target)
        if torch.distributed.is_initialized():
            torch.distributed.barrier()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
