"""The fault matrix: what may happen around a graph like ours, and what must happen instead.

A test of row n is marked `@pytest.mark.fault(n)`, wherever it stands.
"""

ROWS = {
    1: ("SIGKILL of the whole group at a random time", "resumes; results byte-identical"),
    2: ("SIGKILL at every named crash point of every writer", "old or new, never mixed"),
    3: ("a second kill during recovery", "as 1"),
    4: ("head killed, job orphaned, user unlocks and restarts", "never two writers"),
    5: ("two heads started together", "one works, the other says so"),
    6: ("the same run twice after requeue and retry", "one result"),
    7: ("SIGTERM or SIGUSR1, then SIGKILL after 30, 2, 0 s", "step checkpoint, exit 143, goes on"),
    8: ("torn or deleted `.snakemake`", "no stale result"),
    9: ("touched times, git checkout, clock ±1 h", "nothing retrained, nothing deleted"),
    10: ("a file that becomes visible late", "bounded wait, the file named"),
    11: ("no space or I/O error at the N-th write", "nothing half-written; path and bytes named"),
    12: ("one flipped bit in any artefact", "detected, file named, command to rebuild"),
    13: ("truncated or empty artefact", "detected, rebuilt"),
    14: ("unreadable file, read-only folder, umask 027", "clear error; group can read results"),
    15: ("DuckDB file locked, corrupt or of another version", "rebuilt from Parquet, swapped"),
    16: ("truncated, empty, non-image, HTML-as-JPG files", "all listed before training"),
    17: ("decompression bomb", "refused, path and size named"),
    18: ("class missing or empty in a split; one class; one image", "class and split named"),
    19: ("duplicates across splits, one image with two labels", "counted; `strict` fails"),
    20: ("CMYK, 16-bit, alpha, palette, EXIF rotation, animated", "documented conversion"),
    21: ("hostile names", "safe ids or refused; nothing executed, nothing outside"),
    22: ("batch larger than the data; last batch of 1 with BatchNorm", "error or handled"),
    23: ("NaN or infinite loss or gradient", "`diverged`, last finite state kept, counted"),
    24: ("out of GPU memory", "that run fails with batch and peak; others go on"),
    25: ("GPU lost, wrong CUDA_VISIBLE_DEVICES", "one retry, then failed; no silent CPU"),
    26: ("YAML traps and typos", "right number; file:line:column and a suggestion"),
    27: ("checkpoint of another backbone or class count", "refused with the differing keys"),
    28: ("malicious pickle in a .pth", "not executed, refused"),
    29: ("archive with hostile entries; bomb; wrong hash; cut download", "nothing outside"),
    30: ("script payloads in every label; report offline", "shown literally; no request; a CSP"),
}
"""Row: fault, expected."""

EXCEPTIONS: dict[int, str] = {
    11: "writes, flushes, new files and new folders fail; renames do not (row 2 kills there).",
    12: "nothing vouches for logs, benchmarks and timings; a damaged timing costs its numbers.",
    24: "no GPU was at hand: torch's error is injected into jobs that compute on the CPU",
    25: "no GPU was at hand: the errors are injected, the GPUs pretended",
}
"""Rows, or parts of rows, that are not tested here, and why."""
