"""Where results lie: in `results` of the working directory, or on another disk, through a link."""

import shlex
from pathlib import Path

from fastpipe.config.names import RESULTS
from fastpipe.errors import UserError

__all__ = ["place_results", "refuse_lost_results"]


def refuse_lost_results() -> None:
    """Raise UserError if `results` leads to a folder that is not there: a disk may be missing, and
    nothing should look like a study of which nothing has been done."""
    if RESULTS.is_symlink() and not RESULTS.exists():
        raise UserError(
            f"{RESULTS} leads to {RESULTS.readlink()}, which is not there. Is its disk mounted? If "
            f"the results are gone for good, remove the link (rm {RESULTS})."
        )


def place_results(where: str | None) -> None:
    """Let `results` be a link to the folder that `settings.results` names; it is made if absent.

    Every path in a spec or a record begins with `results`, so where they lie changes nothing. A
    link that is there stays if nothing is set.

    Raises:
        UserError: `results` holds something already, leads elsewhere or nowhere, or cannot be made.
    """
    refuse_lost_results()
    if where is None:
        return
    place = Path(where).expanduser()
    if place.resolve() == RESULTS.resolve():
        return
    if RESULTS.is_symlink():
        raise UserError(
            f"settings.results: {where!r}, but {RESULTS} leads to {RESULTS.readlink()}. Move what "
            f"lies there, or remove the link (rm {RESULTS}), then run snakemake again."
        )
    if RESULTS.exists() and any(RESULTS.iterdir()):
        raise UserError(
            f"settings.results: {where!r}, but there are results in {RESULTS} already. Move them "
            f"(mv -T {RESULTS} {shlex.quote(str(place))}; that folder must be empty or not exist), "
            "then run snakemake again."
        )
    try:
        place.mkdir(parents=True, exist_ok=True)
        if RESULTS.exists():
            RESULTS.rmdir()
        RESULTS.symlink_to(place, target_is_directory=True)
    except OSError as error:
        raise UserError(f"settings.results: {where!r}: {error.strerror} ({place}).") from None
