"""The server of `chain.py` for disks that fail or refuse.

Training saves itself at every validation; `export` counts as a job; with `COMMAND`, any command of
`fastpipe` (JSON), `RUN_AS` another user with the umask `RUN_UMASK`.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import rich.progress  # noqa: F401  (who may read nothing can import nothing)

import fastpipe.check
import fastpipe.export
import fastpipe.verification  # noqa: F401
from fastpipe.training import resumption

spec = importlib.util.spec_from_file_location("chain", Path(__file__).with_name("chain.py"))
chain = importlib.util.module_from_spec(spec)
spec.loader.exec_module(chain)

of_stage, run_jobs = chain.arguments, chain._run


def arguments(job: Any) -> list[str]:
    if job.stage == "export":
        return ["export", str(job.reads[0].parent), f"--out={job.folder}/m.safetensors", "--force"]
    return of_stage(job)


def run(jobs: list[Any]) -> int:
    if "COMMAND" not in os.environ:
        return run_jobs(jobs)
    from fastpipe.cli import main

    os.umask(int(os.environ.get("RUN_UMASK", "022"), 8))
    if os.getuid() == 0:
        user = int(os.environ["RUN_AS"])
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    sys.argv = ["fastpipe", *json.loads(os.environ["COMMAND"])]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


if __name__ == "__main__":
    resumption.LEAST_INTERVAL_SECONDS, resumption.LARGEST_SHARE = 0.0, 1e9
    chain.arguments, chain._run = arguments, run
    chain._serve()
