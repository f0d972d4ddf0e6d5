"""`llava-graph-serve`, ready for Ctrl-C before anything large is imported: libraries take a second to import, a model more."""

import os
import signal
import sys

STOPPED = 130
"""What a shell says of a command that Ctrl-C ended."""


def main() -> None:
    """Entry point of the console script."""
    signal.signal(signal.SIGINT, leave)
    from serve.cli import main as run

    run()


def leave(*_: object) -> None:
    """End at once. Until `wait_for_signal` takes over nothing is being served; a KeyboardInterrupt in the middle of an import, or
    of a callback that swallows it, would be a traceback or nothing."""
    from contextlib import suppress

    with suppress(OSError, RuntimeError, ValueError):  # a write may be going on just now
        sys.stdout.flush()
    with suppress(OSError):
        os.write(2, b"stopped\n")
    os._exit(STOPPED)


if __name__ == "__main__":
    main()
