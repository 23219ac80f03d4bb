"""Runs snakemake for tests: each run is forked, which spares it a second and a half of imports.

Reads requests from standard input, a line of JSON each, and answers with the exit code. Only other
people's modules are imported beforehand: fastpipe's come from beside the Snakefile, in each run
anew.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import docutils.core  # noqa: F401
import requests  # noqa: F401
import ruamel.yaml  # noqa: F401
from snakemake.cli import main


def run(arguments: list[str], folder: str, environment: dict[str, str], output: str) -> int:
    """What the program `snakemake` does, both streams into a file."""
    with Path(output).open("wb") as file, Path(os.devnull).open("rb") as nothing:
        for target, stream in enumerate((nothing, file, file)):
            os.dup2(stream.fileno(), target)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["snakemake", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            sys.exit(run(**json.loads(line)))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
