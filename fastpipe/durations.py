"""Spans of time in words."""

__all__ = ["duration"]


def duration(seconds: float) -> str:
    """In the unit that fits: `41 seconds`, `12 minutes`, `3.5 hours`, `4.2 days`."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    if seconds < 2 * 86_400:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 86_400:,.1f} days"
