"""Trainer runs of two processes each, forked after one import: importing everything for every process takes most of a test.

`python tests/forked_runs.py RUNS.json`, where RUNS.json is a list of command lines, of train_mem.py or, where that name stands
first, train_contrastive.py; {"copy": [from, to]} among them copies a folder in between. As torchrun does, each process finds its rank and where to meet in its environment. Exit status 1 when a process
of any run failed.
"""

import json
import os
import shutil
import socket
import sys
import traceback
from pathlib import Path

PROCESSES = 2


def work(rank: int, port: int, argv: list[str]) -> None:
    """One process of a run; never returns."""
    if argv[0] == "train_contrastive.py":
        from train.train_contrastive import train

        argv = argv[1:]
    else:
        from train.train_mem import train

    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(PROCESSES), "LOCAL_WORLD_SIZE": str(PROCESSES),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    status = 1
    try:
        train(argv)
        status = 0
    except BaseException:  # noqa: BLE001  (told by the parent's exit status)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run(argv: list[str]) -> bool:
    """Whether all processes of a run ended well."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(PROCESSES):
        child = os.fork()
        if not child:
            work(rank, port, argv)
        children.append(child)
    ended = [os.waitpid(child, 0)[1] for child in children]
    return not any(ended)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import deepspeed  # noqa: F401  (what every process needs, once)

    import train.running.trainer  # noqa: F401

    # Before the first fork no thread may run, and no process group be open.
    ended_well = True
    for step in json.loads(Path(sys.argv[1]).read_text()):
        if isinstance(step, dict):
            shutil.copytree(*step["copy"])
        else:
            ended_well &= run(step)
    sys.exit(not ended_well)
