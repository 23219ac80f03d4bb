"""C7, C9 and C10: training from scratch, and other networks."""

import pytest

TARGETS = ("a", "b", "c", "d", "e", "f")


def noise(middle: float) -> list[float]:
    return [middle + 0.002 * off for off in (-2, -1, 0, 1, 2)]


class TestC7:
    def gaps(self, grids, tuned_scratch: float) -> None:
        """Fine-tuning gains 3 points by tuning, scratch from 0.5 to `tuned_scratch`."""
        for source in ("old", "older"):
            grids.runs("a", study="fine", source=source, role="baseline", val=0.5, test=0.8)
            grids.runs("a", study="fine", source=source, lr=0.1, val=0.6, test=0.83)
            grids.runs("a", study="fine", source=source, lr=0.3, val=0.4, test=0.99)
        at = {"study": "scratch", "epoch": 0.0, "role": "scratch"}
        grids.runs("a", lr=0.1, val=0.4, test=0.5, **at)
        grids.runs("a", lr=0.3, val=0.6, test=noise(tuned_scratch), **at)
        grids.runs("a", lr=0.03, val=0.3, test=0.99, **at)
        grids.includes("scratch", ["fine"])

    @pytest.mark.parametrize(
        ("tuned_scratch", "verdict"),
        [(0.6, "supported"), (0.45, "contradicted"), (0.53, "inconclusive")],
    )
    def test_difference_of_differences(self, grids, tuned_scratch, verdict):
        self.gaps(grids, tuned_scratch)
        (found,) = grids.judge("C7", listed={"scratch": ["C7"]})
        assert found.verdict == verdict
        assert {(s.study, s.source, s.epoch) for s in found.settings} == {
            ("scratch", "old", 3.0), ("scratch", "older", 3.0)
        }  # fmt: skip
        for ((contrast,),) in [[own] for own in found.contrasts.values()]:
            expected = (0.8 - 0.5) - (0.83 - tuned_scratch)
            assert contrast.estimate.value == pytest.approx(expected, abs=1e-9)
            assert contrast.estimate.pairs == 5

    def test_fine_tuning_must_be_included(self, grids):
        self.gaps(grids, 0.6)
        grids.includes("scratch", [])
        (found,) = grids.judge("C7", listed={"scratch": ["C7"]})
        assert found.verdict == "not run"

    def test_a_source_is_compared_with_its_own_network(self, grids):
        self.gaps(grids, 0.6)
        for lr, test in ((0.1, 0.5), (0.3, 0.5)):  # tuning does not help this network
            grids.runs(
                "a", source="older", study="scratch", epoch=0.0, role="scratch", lr=lr,
                val=lr, test=test,
            )  # fmt: skip
        (found,) = grids.judge("C7", listed={"scratch": ["C7"]})
        values = {s.source: own[0].estimate.value for s, own in found.contrasts.items()}
        assert values == {"old": pytest.approx(0.07), "older": pytest.approx(-0.03)}


class TestC9:
    RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

    def best_rates(self, grids, fine, scratch) -> None:
        """Places of the best rates over targets; one seed in turn prefers the neighbour below."""
        for kind, places in (("fine", fine), ("scratch", scratch)):
            at = {"role": "scratch", "epoch": 0.0} if kind == "scratch" else {}
            for n, (target, best) in enumerate(zip(TARGETS, places, strict=True)):
                for i, lr in enumerate(self.RATES):
                    val = [0.9 - 0.05 * abs(i - best + (seed == n)) for seed in range(5)]
                    grids.runs(target, lr=lr, momentum=0.0, val=val, test=1 - val[0], **at)

    @pytest.mark.parametrize(
        ("fine", "scratch", "verdict"),
        [
            ((1, 1, 2, 3, 4, 5), (5, 5, 5, 5, 5, 5), "supported"),
            ((3, 3, 3, 3, 3, 3), (5, 1, 5, 1, 5, 5), "contradicted"),
            ((5, 5, 5, 5, 5, 5), (1, 1, 2, 3, 4, 5), "contradicted"),
            ((1, 1, 2, 3, 4, 5), (1, 1, 2, 3, 4, 5), "inconclusive"),
        ],
    )
    def test_narrower_and_larger(self, grids, fine, scratch, verdict):
        self.best_rates(grids, fine, scratch)
        (found,) = grids.judge("C9")
        assert found.verdict == verdict
        ((spread, mean),) = found.contrasts.values()
        assert (spread.estimate.pairs, mean.estimate.pairs) == (5, 5)  # seeds

    def test_rates_that_only_one_grid_has_do_not_count(self, grids):
        self.best_rates(grids, (1, 1, 2, 3, 4, 5), (5, 5, 5, 5, 5, 5))
        grids.execute("""
            DELETE FROM arms
            WHERE role = 'scratch' AND recipe IN (SELECT recipe FROM recipes WHERE alpha < 3)
        """)
        (found,) = grids.judge("C9")
        ((spread, mean),) = found.contrasts.values()
        assert (spread.estimate.value, mean.estimate.value) == (0, 0)

    def test_needs_both(self, grids):
        self.best_rates(grids, (1, 1, 2, 3, 4, 5), (5, 5, 5, 5, 5, 5))
        grids.execute("DELETE FROM arms WHERE role = 'scratch'")
        assert grids.verdict("C9") == "not run"


class TestC10:
    RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)

    def networks(self, grids, *orders) -> None:
        for name in ("wide", "deep"):
            grids.source(name)
        for source, order in zip(("old", "wide", "deep"), orders, strict=True):
            study = "fine" if source == "old" else "networks"
            for target, best in zip(TARGETS, order, strict=True):
                for i, lr in enumerate(self.RATES):
                    val = 0.9 - 0.05 * abs(i - best)
                    at = {"source": source, "study": study, "lr": lr}
                    grids.runs(target, momentum=0.0, val=val, test=1 - val, seeds=2, **at)
        for target in TARGETS:  # a setting that the other networks lack, best of all
            grids.runs(target, study="fine", lr=3.0, momentum=0.0, val=0.99, test=0.9, seeds=2)
        grids.includes("networks", ["fine"])

    @pytest.mark.parametrize(
        ("orders", "verdict"),
        [
            (((0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 5, 4), (0, 1, 2, 3, 4, 5)), "supported"),
            (((0, 1, 2, 3, 4, 5), (3, 3, 2, 2, 3, 2), (4, 3, 5, 0, 2, 1)), "inconclusive"),
        ],
    )
    def test_concordance_of_networks_on_one_dataset(self, grids, orders, verdict):
        self.networks(grids, *orders)
        (found,) = grids.judge("C10", listed={"networks": ["C10"]})
        assert found.verdict == verdict
        ((contrast,),) = found.contrasts.values()
        assert contrast.name == "3 networks pretrained on old"
        assert contrast.estimate.pairs == 6

    def test_all_at_odds(self, grids):
        rising = (0, 1, 2, 3, 4, 5)
        self.networks(grids, rising, rising[::-1], (2, 3, 3, 3, 2, 2))
        (found,) = grids.judge("C10", listed={"networks": ["C10"]})
        ((contrast,),) = found.contrasts.values()
        assert not contrast.estimate.holds

    def test_one_network_is_not_enough(self, grids):
        self.networks(grids, *[(0, 1, 2, 3, 4, 5)] * 3)
        grids.execute("UPDATE snapshots SET dataset = source")
        (found,) = grids.judge("C10", listed={"networks": ["C10"]})
        assert found.verdict == "not run"
