"""Run the benchmarks named on the command line, or all: every module `bench_*.py` here with a `main()`."""

import importlib
import pkgutil
import sys

import benchmarks
from llava_graph.errors import did_you_mean

PREFIX = "bench_"


def main() -> None:
    """Run and print, one after the other."""
    known = [
        module.name.removeprefix(PREFIX)
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name.startswith(PREFIX)
    ]
    names = sys.argv[1:] or known
    for name in names:
        if name not in known:
            sys.exit(f"error: unknown benchmark {name!r}. {did_you_mean(name, known)}")
    for name in names:
        print(f"\n## {name}\n", flush=True)
        try:
            importlib.import_module(f"benchmarks.{PREFIX}{name}").main([])
        except SystemExit as error:
            if sys.argv[1:]:
                raise
            print(f"left out: {error}")  # of all of them, those whose data are not here


if __name__ == "__main__":
    main()
