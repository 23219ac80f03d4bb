"""Where results lie: in `results` of the working directory, or on another disk, through a link."""

from pathlib import Path

from fastpipe.config.names import RESULTS
from fastpipe.errors import UserError

__all__ = ["place_results"]


def place_results(where: str | None) -> None:
    """Let `results` be a link to the folder that `settings.results` names; it is made if absent.

    Every path in a spec or a record begins with `results`, so where they lie changes nothing. A
    link that is there stays if nothing is set.

    Raises:
        UserError: `results` holds something already, leads elsewhere, or cannot be made.
    """
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
            f'to a folder that does not exist yet (mv {RESULTS} "{place}"), then run snakemake '
            "again."
        )
    try:
        place.mkdir(parents=True, exist_ok=True)
        if RESULTS.exists():
            RESULTS.rmdir()
        RESULTS.symlink_to(place, target_is_directory=True)
    except OSError as error:
        raise UserError(f"settings.results: {where!r}: {error.strerror} ({place}).") from None
