"""Kills a build before every single touch of a file, restarts it, and compares the data set with an undisturbed one.

    python killed_build.py PAPERS FOLDER BASE_URL STRIDE

A process of its own without threads: it forks a build for every moment (a fork costs milliseconds, a start seconds). The build
counts audit events ("open", "os.rename", "os.mkdir", "os.remove" … under FOLDER) and dies by SIGKILL before the Nth, for every
STRIDEth N. Every third time the restarted build is killed as well. Prints how many moments there are, or what differed.
PAPERS may be SciCap's folder instead: then its figures are paired with their papers.
"""

import os
import random
import shutil
import signal
import sys
from pathlib import Path

# Imported here, once, so that the forks need not.
import arxiv  # noqa: F401
import defusedxml.ElementTree  # noqa: F401
import pandas  # noqa: F401
import pyarrow.compute  # noqa: F401
import requests  # noqa: F401
from stand_ins import stand_ins

from llava_graph.dataset import read_dataset, read_dropped, read_json
from scicap_builder import build
from scicap_builder.fetch import FetchOptions
from scicap_builder.one_paper import ReadOptions, default_readers
from scicap_builder.pairing import PairOptions, pair, read_notes
from scicap_builder.pipeline import BuildOptions
from scicap_builder.sources import SOURCES


class Inline:
    """An engine without processes."""

    busy, free = 0, True

    def __init__(self, function):
        self.function, self.done = function, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def give(self, job):
        self.done.append((job, self.function(job)))
        self.busy = 1

    def results(self, patience_s):
        done, self.done, self.busy = self.done, [], 0
        return done


def in_fork(work) -> bool:
    """Whether `work` ran to its end in a fork; False if it was killed."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) not in (0, -signal.SIGKILL):
        sys.exit("the build failed; see above")
    return status == 0


def run(papers, folder, base_url, moment=None):
    """Build once, and die before the `moment`th touch of a file under `folder`."""
    seen = 0

    def hook(event, arguments):
        nonlocal seen
        if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "fcntl.flock") and any(
            str(argument).startswith(str(folder)) for argument in arguments
        ):
            seen += 1
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    if moment is not None:
        sys.addaudithook(hook)
    fetch = FetchOptions(base_url=base_url, cache=folder / "cache", delay_s=0)
    if papers.is_dir():
        pairing = PairOptions(build=BuildOptions(read=ReadOptions(ocr="none"), papers_per_shard=2))
        pair(
            SOURCES["scicap"], papers, folder / "out", pairing=pairing, fetch=fetch, readers=stand_ins(), engine=Inline
        )
        return
    build(papers, folder / "out", BuildOptions(papers_per_shard=2), fetch=fetch, readers=stand_ins(), engine=Inline)


def write_down(out, place):
    """All that the data set says, in an order that does not depend on the shards."""
    rows = sorted(repr(figure) for figure in read_dataset(out))
    dropped = sorted(repr(item) for item in read_dropped(out))
    state = read_json(out / "build.json")
    counts = {
        name: sorted(value.items()) if isinstance(value, dict) else value for name, value in state["counts"].items()
    }
    extra = sorted(path.name for path in out.rglob("*") if path.name.startswith(".") or path.name.endswith(".part"))
    rows += sorted(repr(note) for note in read_notes(out))
    rows += [path.read_text() for name in ("pairing.json", "integrity.json") if (path := out / name).exists()]
    card = sorted((out / "README.md").read_text().splitlines())
    place.write_text("\n".join([*rows, *dropped, repr(counts), repr(state["finished"]), repr(extra), *card]))


def main():
    papers, folder, base_url, stride = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    default_readers()
    chance = random.Random(1)
    in_fork(lambda: run(papers, folder, base_url))
    in_fork(lambda: write_down(folder / "out", folder.parent / "undisturbed.txt"))
    moment, kills = 1, 0
    while kill_and_compare(papers, folder, base_url, moment, chance.randint(1, 60) if kills % 3 == 2 else 0):
        moment, kills = moment + stride, kills + 1
    print(moment, kills)  # noqa: T201


def kill_and_compare(papers, folder, base_url, moment, again):
    """Kill at `moment`, and the restarted build at `again` (0: not); False when the build ended before that moment."""
    shutil.rmtree(folder)
    folder.mkdir()
    killed = not in_fork(lambda: run(papers, folder, base_url, moment))
    if killed and again:
        in_fork(lambda: run(papers, folder, base_url, again))
    if killed:
        in_fork(lambda: run(papers, folder, base_url))
    place = folder.parent / "killed.txt"
    in_fork(lambda: write_down(folder / "out", place))
    if place.read_text() != (folder.parent / "undisturbed.txt").read_text():
        sys.exit(f"killed before touch {moment} (and {again}): the data set differs; see {place}")
    return killed


if __name__ == "__main__":
    main()
