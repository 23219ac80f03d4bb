"""C5, C6 and C11: regularisers, BatchNorm's momentum, augmentation."""

import pytest

SIMILARITIES = {"a": 0.95, "b": 0.9, "c": 0.85, "d": 0.8, "e": 0.75}
SIMILAR, MIDDLE, DISSIMILAR = ("a", "b"), ("c",), ("d", "e")


def noise(middle: float) -> list[float]:
    return [middle + 0.002 * off for off in (-2, -1, 0, 1, 2)]


class TestC5:
    def regularisers(self, grids, similar: float, dissimilar: float) -> None:
        grids.similar("old", SIMILARITIES)
        gains = dict.fromkeys(SIMILAR, similar) | dict.fromkeys(DISSIMILAR, dissimilar)
        for target in SIMILARITIES:
            gain = gains.get(target, -0.5)  # the median target counts for neither side
            grids.runs(target, weight_decay=0.01, val=0.8, test=0.7)
            grids.runs(target, weight_decay=0.1, val=0.7, test=0.99)
            own = {"regulariser": "l2-sp", "head_weight_decay": 0.01}
            grids.runs(target, weight_decay=0.1, val=0.8, test=noise(0.7 + gain), **own)
            grids.runs(target, weight_decay=0.01, val=0.7, test=0.99, **own)

    @pytest.mark.parametrize(
        ("similar", "dissimilar", "verdict"),
        [
            (0.03, 0.0, "supported"),
            (0.03, 0.05, "contradicted"),
            (-0.03, 0.0, "contradicted"),
            (0.0, 0.0, "inconclusive"),
            (0.03, 0.0099, "inconclusive"),
        ],
    )
    def test_both_sides_must_hold(self, grids, similar, dissimilar, verdict):
        self.regularisers(grids, similar, dissimilar)
        (found,) = grids.judge("C5")
        assert found.verdict == verdict
        ((*contrasts,),) = found.contrasts.values()
        assert {one.name: pytest.approx(one.estimate.value) for one in contrasts} == {
            "L2-SP − L2, dissimilar: d, e": pytest.approx(dissimilar, abs=1e-9),
            "L2-SP − L2, similar: a, b": pytest.approx(similar, abs=1e-9),
        }
        assert {one.estimate.pairs for one in contrasts} == {5}

    def test_a_seed_without_a_target_does_not_count(self, grids):
        self.regularisers(grids, 0.03, 0.0)
        grids.execute("DELETE FROM runs WHERE target = 'a' AND seed = 4")
        (found,) = grids.judge("C5")
        ((dissimilar, similar),) = found.contrasts.values()
        assert (dissimilar.estimate.pairs, similar.estimate.pairs) == (5, 4)

    def test_without_similarity_there_are_no_sides(self, grids):
        self.regularisers(grids, 0.03, 0.0)
        grids.execute("DELETE FROM similarity")
        assert grids.verdict("C5") == "not run"


class TestC6:
    def batchnorm(self, grids, last: float) -> None:
        for target in ("a", "b"):
            grids.runs(target, val=0.5, test=0.1)  # the backbone's own momentum: not declared
            grids.runs(target, bn_momentum=0.0, val=0.5, test=0.1)
            grids.runs(target, bn_momentum=0.9, val=0.5, test=0.8)
            grids.runs(target, bn_momentum=0.95, val=0.5, test=noise(0.8))
            shift = last if target == "b" else 0.0
            grids.runs(target, bn_momentum=0.99, val=0.5, test=noise(0.8 + shift)[::-1])

    @pytest.mark.parametrize(
        ("last", "verdict"),
        [(0.0, "supported"), (-0.05, "contradicted"), (0.0099, "inconclusive")],
    )
    def test_each_two_values_on_each_target(self, grids, last, verdict):
        self.batchnorm(grids, last)
        (found,) = grids.judge("C6")
        assert found.verdict == verdict
        assert {s.target for s in found.settings} == {"a", "b"}
        names = {one.name for own in found.contrasts.values() for one in own}
        assert names == {
            "BatchNorm momentum 0.95 − 0.9",
            "BatchNorm momentum 0.99 − 0.9",
            "BatchNorm momentum 0.99 − 0.95",
        }

    def test_one_value_is_not_enough(self, grids):
        grids.runs("a", bn_momentum=0.9, val=0.5, test=0.8)
        grids.runs("a", bn_momentum=0.0, val=0.5, test=0.8)
        assert grids.verdict("C6") == "not run"


class TestC11:
    def augmentation(self, grids, with_momentum: float, without: float) -> None:
        """Accuracy lost by resized crops on similar targets, with momentum 0.9 and 0."""
        grids.similar("old", SIMILARITIES)
        for target in SIMILARITIES:
            similar = target in SIMILAR
            for momentum, loss in ((0.9, with_momentum), (0.0, without)):
                for lr in (0.01, 0.03):
                    at = {"momentum": momentum, "lr": lr, "val": 0.5}
                    grids.runs(target, test=0.8, **at)
                    grids.runs(target, test=0.2, crop="random", **at)
                    own = noise(0.8 - loss) if similar else 0.1 * (momentum == 0)
                    grids.runs(target, test=own, crop="resized", colour_jitter=0.4, **at)

    @pytest.mark.parametrize(
        ("with_momentum", "without", "verdict"),
        [
            (0.1, 0.0, "supported"), (0.1, 0.06, "supported"), (-0.1, 0.0, "contradicted"),
            (0.05, 0.05, "inconclusive"),
        ],
    )  # fmt: skip
    def test_more_is_lost_with_momentum(self, grids, with_momentum, without, verdict):
        self.augmentation(grids, with_momentum, without)
        if verdict != "inconclusive":  # the same noise with and without momentum cancels
            grids.execute("UPDATE runs SET final_top1 = final_top1 - 0.001 * seed "
                          "WHERE recipe LIKE '%momentum%resized%'")  # fmt: skip
        (found,) = grids.judge("C11")
        assert found.verdict == verdict
        ((*contrasts,),) = found.contrasts.values()
        assert [one.name for one in contrasts] == [
            "rate 0.01, similar: a, b", "rate 0.03, similar: a, b"
        ]  # fmt: skip
        for one in contrasts:
            assert one.estimate.value == pytest.approx(with_momentum - without, abs=0.003)
            assert one.estimate.pairs == 5

    def test_needs_both_momenta_and_both_policies(self, grids):
        self.augmentation(grids, 0.1, 0.0)
        grids.execute("UPDATE recipes SET crop = 'random' WHERE crop = 'none' AND momentum = 0")
        assert grids.verdict("C11") == "not run"
