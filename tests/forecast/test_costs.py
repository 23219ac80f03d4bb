import math
import random
from pathlib import Path

import pytest

from fastpipe.forecast.costs import GUESS, fit_costs
from fastpipe.forecast.past import Timed
from fastpipe.forecast.work import Work

TRUE = Work(jobs=3.0, runs=0.0, steps=5e-3, passes=0.0, images=1e-4, tmacs=2.0)


def job(
    random: random.Random, network: str = "a", noise: float = 0.0, factor: float = 1.0
) -> Timed:
    steps, images = random.randrange(10, 2000), random.randrange(100, 100_000)
    work = Work(1, 5, steps, random.randrange(20), images, images * 10 ** random.uniform(-6, -4))
    seconds = sum(amount * cost for amount, cost in zip(work, TRUE, strict=True))
    seconds *= factor * math.exp(random.gauss(0, noise))
    return Timed("finetune", Path("x"), network, "cpu", "h", work, seconds)


def errors(timed: list[Timed], tests: list[Timed]) -> list[float]:
    costs = fit_costs(timed, "cpu")
    return sorted(abs(math.log(costs.seconds(t.work, t.network) / t.seconds)) for t in tests)


def test_without_evidence_costs_are_the_first_guesses() -> None:
    assert fit_costs([], "cpu").costs == GUESS["cpu"]
    assert fit_costs([], "cuda").costs == GUESS["cuda"]
    assert fit_costs([], "cpu").jobs == 0


def test_what_jobs_took_is_learnt_from_a_few() -> None:
    drawn = random.Random(1)
    tests = [job(drawn) for _ in range(50)]
    assert errors([], tests)[25] > 0.25
    assert errors([job(drawn) for _ in range(10)], tests)[25] < 0.2
    assert errors([job(drawn) for _ in range(300)], tests)[25] < 0.03


def test_noise_and_a_few_jobs_that_took_forever_do_not_spoil_it() -> None:
    drawn = random.Random(2)
    tests = [job(drawn) for _ in range(50)]
    timed = [job(drawn, noise=0.2) for _ in range(200)]
    timed += [t._replace(seconds=100 * t.seconds) for t in (job(drawn) for _ in range(6))]
    assert errors(timed, tests)[25] < 0.15


def test_sums_of_forecasts_are_right() -> None:
    drawn = random.Random(3)
    timed = [job(drawn, noise=0.5) for _ in range(400)]
    costs = fit_costs(timed, "cpu")
    forecast = sum(costs.seconds(t.work, t.network) for t in timed)
    assert forecast == pytest.approx(sum(t.seconds for t in timed), rel=0.03)


def test_a_network_has_a_factor_of_its_own_and_another_is_judged_by_all() -> None:
    drawn = random.Random(4)
    timed = [job(drawn, "a") for _ in range(100)] + [
        job(drawn, "b", factor=3.0) for _ in range(100)
    ]
    costs = fit_costs(timed, "cpu")
    assert costs.factors["b"] / costs.factors["a"] == pytest.approx(3.0, rel=0.15)
    work = timed[0].work
    assert costs.seconds(work, "a") < costs.seconds(work, "new") < costs.seconds(work, "b")


def test_no_cost_is_negative() -> None:
    drawn = random.Random(5)
    timed = [job(drawn, noise=1.5) for _ in range(30)]
    assert min(fit_costs(timed, "cpu").costs) >= 0
