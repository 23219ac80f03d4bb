"""Domain similarity against an independent linear programme, and the laws of a distance."""

import warnings

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import block_diag, csr_matrix, hstack, identity, vstack

from fastpipe.errors import UserError
from fastpipe.similarity.emd import domain_similarity


def random_domain(seed, classes, features=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(classes, features)), rng.integers(1, 50, classes)


def reference_scipy(source, source_counts, target, target_counts):
    """The transport problem written out as a linear programme for HiGHS."""
    n, m = len(source), len(target)
    costs = np.array([[np.linalg.norm(s - t) for t in target] for s in source])
    rows = block_diag([csr_matrix(np.ones((1, m)))] * n)
    columns = hstack([identity(m)] * n)
    marginals = np.concatenate(
        [source_counts / source_counts.sum(), target_counts / target_counts.sum()]
    )
    result = linprog(costs.ravel(), A_eq=vstack([rows, columns]), b_eq=marginals, method="highs")
    assert result.status == 0
    return result.fun


@pytest.mark.parametrize(("classes", "others"), [(50, 70), (83, 51), (1, 60), (64, 64)])
def test_distance_is_the_linear_programmes(classes, others):
    source, target = random_domain(classes, classes), random_domain(others + 1000, others)
    found = domain_similarity(*source, *target)
    assert found.distance == pytest.approx(reference_scipy(*source, *target), rel=1e-9)


def test_flow_moves_all_mass_at_the_stated_cost():
    (s, ns), (t, nt) = random_domain(1, 50), random_domain(2, 70)
    found = domain_similarity(s, ns, t, nt, gamma=0.3)
    assert (found.flow >= 0).all()
    np.testing.assert_allclose(found.flow.sum(1), ns / ns.sum(), atol=1e-12)
    np.testing.assert_allclose(found.flow.sum(0), nt / nt.sum(), atol=1e-12)
    costs = np.linalg.norm(s[:, None] - t[None], axis=2)
    assert (found.flow * costs).sum() == pytest.approx(found.distance, rel=1e-12)
    assert found.similarity == pytest.approx(np.exp(-0.3 * found.distance), rel=1e-12)


def test_one_class_each_is_the_euclidean_distance_unsquared():
    found = domain_similarity([[0.0, 0.0]], [7], [[3.0, 4.0]], [1])
    assert found.distance == pytest.approx(5.0, rel=1e-15)
    assert found.similarity == pytest.approx(np.exp(-0.05), rel=1e-15)


domains = st.tuples(st.integers(0, 10_000), st.integers(1, 12)).map(lambda a: random_domain(*a))
laws = settings(max_examples=40, deadline=None, derandomize=True)


@laws
@given(domains, domains)
def test_symmetry(source, target):
    there, back = domain_similarity(*source, *target), domain_similarity(*target, *source)
    assert there.distance == pytest.approx(back.distance, rel=1e-9)


@laws
@given(domains)
def test_zero_on_itself(domain):
    found = domain_similarity(*domain, *domain)
    assert found.distance == pytest.approx(0, abs=1e-12)
    assert found.similarity == pytest.approx(1, abs=1e-12)


@laws
@given(domains, domains, domains)
def test_triangle_inequality(a, b, c):
    through = domain_similarity(*a, *b).distance + domain_similarity(*b, *c).distance
    assert domain_similarity(*a, *c).distance <= through + 1e-9


@laws
@given(domains, domains, st.randoms(use_true_random=False))
def test_order_of_classes_does_not_matter(source, target, random):
    means, counts = source
    order = list(range(len(counts)))
    random.shuffle(order)
    plain = domain_similarity(*source, *target)
    shuffled = domain_similarity(means[order], counts[order], *target)
    assert shuffled.distance == pytest.approx(plain.distance, rel=1e-9)
    np.testing.assert_allclose(shuffled.flow, plain.flow[order], atol=1e-12)


@laws
@given(domains, domains, st.floats(0.01, 0.99))
def test_splitting_a_class_does_not_matter(source, target, share):
    means, counts = source
    split_means = np.vstack([means, means[:1]])
    split_counts = np.append(counts, share * counts[0])
    split_counts[0] = (1 - share) * counts[0]
    plain = domain_similarity(*source, *target).distance
    assert domain_similarity(split_means, split_counts, *target).distance == pytest.approx(
        plain, rel=1e-9
    )


@laws
@given(domains, domains, st.floats(1e-6, 1e6))
def test_distance_scales_with_the_features_and_not_with_the_counts(source, target, scale):
    (s, ns), (t, nt) = source, target
    plain = domain_similarity(s, ns, t, nt).distance
    scaled = domain_similarity(scale * s, 3 * ns, scale * t, 7 * nt).distance
    assert scaled == pytest.approx(scale * plain, rel=1e-9)


@laws
@given(domains, domains)
def test_moving_both_domains_together_does_not_matter(source, target):
    (s, ns), (t, nt) = source, target
    plain = domain_similarity(s, ns, t, nt).distance
    assert domain_similarity(s + 100, ns, t + 100, nt).distance == pytest.approx(plain, rel=1e-9)


def test_near_identical_points_far_from_the_origin_keep_their_distance():
    far = 1e6 * np.ones((1, 64))
    near = far.copy()
    near[0, 0] += 2.0**-10
    found = domain_similarity(far, [1], near, [1])
    assert found.distance == pytest.approx(2.0**-10, rel=1e-6)


@pytest.mark.parametrize("size", [1e-200, 1e-12, 1e200])
def test_extreme_sizes_neither_vanish_nor_overflow(size):
    (s, ns), (t, nt) = random_domain(5, 30), random_domain(6, 40)
    plain = domain_similarity(s, ns, t, nt).distance
    assert domain_similarity(size * s, ns, size * t, nt).distance / size == pytest.approx(plain)


def test_small_classes_are_dropped_before_weights_are_normalised():
    (s, ns), (t, nt) = random_domain(3, 9), random_domain(4, 6)
    ns[[2, 5]], nt[0] = 4, 9
    ns[[0, 1, 3, 4, 6, 7, 8]] += 10
    nt[1:] += 10
    found = domain_similarity(s, ns, t, nt, min_count=10)
    kept = np.delete(np.arange(9), [2, 5])
    by_hand = domain_similarity(s[kept], ns[kept], t[1:], nt[1:])
    assert found.distance == by_hand.distance
    assert found.flow.shape == (9, 6)
    assert not found.flow[[2, 5]].any() and not found.flow[:, 0].any()
    assert found.flow.sum() == pytest.approx(1, abs=1e-12)


def test_a_class_of_exactly_min_count_stays():
    found = domain_similarity([[0.0], [1.0]], [5, 4], [[0.0]], [5], min_count=5)
    assert found.flow.tolist() == [[1.0], [0.0]]


def test_a_class_without_images_never_counts():
    found = domain_similarity([[0.0], [np.nan]], [5, 0], [[2.0]], [1])
    assert found.distance == 2.0
    assert found.flow.tolist() == [[1.0], [0.0]]


ONE = ([[0.0, 1.0]], [3])


@pytest.mark.parametrize(
    ("source", "target", "options", "message"),
    [
        (([], []), ONE, {}, "source's means must be classes × features"),
        (ONE, (np.zeros((0, 2)), []), {}, "target's means must be classes × features"),
        (ONE, ([[0.0, 1.0, 2.0]], [3]), {}, "source's class means have 2 features, the target's 3"),
        (([[0.0, 1.0]], [3, 4]), ONE, {}, "source has 1 class means but counts"),
        (([[0.0, np.nan]], [3]), ONE, {}, "source's means are not finite for class 0"),
        (ONE, ([[0.0, 1.0], [np.inf, 0]], [3, 1]), {}, "target's means are not finite for class 1"),
        (([[0.0, 1.0]], [-1]), ONE, {}, "source's class counts must be finite and at least 0"),
        (([[0.0, 1.0]], [np.nan]), ONE, {}, "source's class counts must be finite"),
        (ONE, ([[0.0, 1.0]], [0]), {}, "no class of the target is left: the largest has 0 images"),
        (ONE, ONE, {"min_count": 4}, "no class of the source is left.*min_count is 4"),
        (ONE, ONE, {"gamma": -0.1}, "gamma must be a finite number of at least 0, not -0.1"),
        (ONE, ONE, {"gamma": float("nan")}, "gamma must be a finite number"),
    ],
)
def test_bad_domains_are_refused(source, target, options, message):
    with pytest.raises(UserError, match=message):
        domain_similarity(*source, *target, **options)


def test_not_converging_is_an_error_and_no_warning(monkeypatch):
    solve = ot.lp.emd
    monkeypatch.setattr(ot.lp, "emd", lambda *a, **k: solve(*a, **(k | {"numItermax": 2})))
    with warnings.catch_warnings(), pytest.raises(UserError, match="numItermax reached"):
        warnings.simplefilter("error")
        domain_similarity(*random_domain(1, 50), *random_domain(2, 70))
