"""What Snakemake tells of a failed job, without the spec: a page of JSON before one line of error.

The whole command is what `snakemake --printshellcmds` prints.
"""

import logging
import re

__all__ = ["shorten_failures", "shortened"]

_QUOTED = r"""'[^']*'(?:"'"'[^']*')*"""
"""A word as `shlex.quote` writes it; a quote in it is written '"'"'."""

_LONG = re.compile(rf"(--spec=|--identity=|printf '%s' )(?:{_QUOTED})")


def shortened(command: str) -> str:
    """A stage's command without its spec and its identities."""
    return _LONG.sub(r"\1…", command)


def shorten_failures(record: logging.LogRecord) -> bool:
    """Filter of a logger: shorten the commands in what Snakemake says of failed jobs; lets all
    pass."""
    if record.levelno >= logging.ERROR:
        if isinstance(record.msg, str):
            record.msg = shortened(record.msg)
        for told in (record.__dict__, *getattr(record, "job_error_info", ())):
            if told.get("shellcmd"):
                told["shellcmd"] = shortened(told["shellcmd"])
    return True
