import pytest

from fastpipe.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0 seconds"), (89, "89 seconds"), (150, "2 minutes"), (5399, "90 minutes")),
        *((5400, "1.5 hours"), (36_000, "10.0 hours"), (864_000, "10.0 days")),
    ],
)
def test_durations_have_a_fitting_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text
