import re

import pytest

from fastpipe.progress import Pace, Progress


@pytest.fixture
def clock():
    return [50.0]


def shown(capsys) -> list[str]:
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_a_log_gets_a_first_line_one_every_half_minute_and_a_last_one(capsys, clock):
    with Progress("training", 200, clock=lambda: clock[0]) as progress:
        for done in range(0, 201, 20):
            progress.reach(done)
            clock[0] += 12.0
    assert shown(capsys) == [
        "training: 200 steps",
        "training: 60 of 200 steps, 1.67 steps/s, 84 s left",
        "training: 120 of 200 steps, 1.67 steps/s, 48 s left",
        "training: 180 of 200 steps, 1.67 steps/s, 12 s left",
        "training: 200 of 200 steps done in 132.0 s, 1.52 steps/s",
    ]


def test_where_a_step_takes_images_the_rate_is_of_images(capsys, clock):
    told = []
    with Progress(
        "training", 20, images=64, tell=lambda **facts: told.append(facts), clock=lambda: clock[0]
    ) as progress:
        clock[0] += 32.0
        progress.reach(10, top1=0.5)
    lines = shown(capsys)
    assert lines[1] == "training: 10 of 20 steps, 20 images/s, 32 s left"
    assert told == [
        {"step": 0, "total": 20, "unit": "steps"},
        {"step": 10, "rate": 10 / 32, "images_per_s": 20.0, "seconds_left": 32.0, "top1": 0.5},
    ]


def test_images_may_be_what_is_counted(capsys, clock):
    with Progress("prepare", 5000, "images", clock=lambda: clock[0]) as progress:
        clock[0] += 2.0
        progress.advance(1000)
        progress.advance(4000)
    assert shown(capsys)[-1] == "prepare: 5,000 of 5,000 images done in 2.0 s, 2,500 images/s"


def test_what_was_done_before_or_is_not_needed_does_not_make_it_look_fast(capsys, clock):
    told = {}
    with Progress("training", 200, tell=told.update, clock=lambda: clock[0]) as progress:
        progress.skip_to(100)  # resumed
        clock[0] += 10.0
        progress.reach(150)
        assert (told["step"], told["rate"], told["seconds_left"]) == (150, 5.0, 10.0)
        progress.skip_to(190)  # that run diverged
        assert (told["step"], told["rate"], told["seconds_left"]) == (190, 5.0, 2.0)
    assert shown(capsys)[-1] == "training: 190 of 200 steps done in 10.0 s, 5 steps/s"


def test_the_rate_is_that_of_the_last_minute():
    pace = Pace(1000, 0, now=0.0)
    for second in range(1, 101):
        pace.reach(5 * second, second)
    for second in range(101, 141):
        pace.reach(500 + second - 100, second)
    assert pace.rate == pytest.approx((540 - 400) / 60)
    for second in range(141, 201):
        pace.reach(500 + second - 100, second)
    assert pace.rate == pytest.approx(1.0)
    assert pace.seconds_left == pytest.approx(400)


def test_before_anything_is_done_nothing_is_said_of_the_time():
    pace = Pace(10, 4, now=0.0)
    pace.reach(4, 5.0)
    assert pace.rate is None and pace.seconds_left is None


def test_a_failure_is_not_called_done(capsys, clock):
    with pytest.raises(RuntimeError), Progress("training", 2, clock=lambda: clock[0]) as progress:
        progress.advance()
        raise RuntimeError
    assert shown(capsys) == ["training: 2 steps", "training: ended at 1 of 2 steps after 0.0 s"]


def test_a_terminal_gets_a_bar_with_rate_and_time_left(capsys, clock, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with Progress("train [red]x[/]", 200, images=8, clock=lambda: clock[0]) as progress:
        clock[0] += 10.0
        progress.reach(150)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert "train [red]x[/]" in text and "150/200" in text and "120 images/s" in text
    assert "━" in text
