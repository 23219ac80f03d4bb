import logging
import shlex

from fastpipe.shortening import shorten_failures, shortened

SPEC = """{"name":"l'été","other":"a' --spec='b"}"""
COMMAND = f"fastpipe prepare --spec={shlex.quote(SPEC)} --identity='{{}}' --out=a > log 2>&1"
SHORT = "fastpipe prepare --spec=… --identity=… --out=a > log 2>&1"


def record(level: int, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("snakemake", level, "", 0, f"Command '{COMMAND}'", (), None)
    made.__dict__ |= extra
    assert shorten_failures(made) is True
    return made


def test_spec_and_identity_are_left_out_whatever_is_quoted_in_them() -> None:
    assert shortened(COMMAND) == SHORT
    piped = f"printf '%s' {shlex.quote(SPEC)} | fastpipe collect --spec=- --out=b"
    assert shortened(piped) == "printf '%s' … | fastpipe collect --spec=- --out=b"
    assert shortened("fastpipe status --json") == "fastpipe status --json"


def test_failures_are_told_short_of_a_job_and_of_a_group() -> None:
    job = record(logging.ERROR, shellcmd=COMMAND)
    assert (job.msg, job.shellcmd) == (f"Command '{SHORT}'", SHORT)
    group = record(logging.ERROR, job_error_info=[{"shellcmd": COMMAND}, {"shellcmd": None}])
    assert group.job_error_info == [{"shellcmd": SHORT}, {"shellcmd": None}]


def test_commands_that_are_asked_for_are_whole() -> None:
    asked = record(logging.INFO, shellcmd=COMMAND)
    assert (asked.msg, asked.shellcmd) == (f"Command '{COMMAND}'", COMMAND)
