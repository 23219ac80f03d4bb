"""`fastpipe`, and `python -m fastpipe`: handed to a warm process if there is one."""

import sys

from fastpipe.stopping import heed_signals
from fastpipe.warm import run_warm

__all__ = ["main"]


def main() -> None:
    heed_signals()  # while this process still imports, too
    code = run_warm(sys.argv[1:])
    if code is None:
        from fastpipe.cli import main as run

        run()
    else:
        sys.exit(code)


if __name__ == "__main__":
    main()
