"""Scores of transferability: seconds on features of a usual size, and next to literal formulas."""

import statistics

import numpy as np
from scipy.optimize import minimize

from benchmarks.table import Row, print_table
from benchmarks.timing import interleaved, ratio
from fastpipe.similarity.h_score import h_score, regularised_h_score
from fastpipe.similarity.leep import leep
from fastpipe.similarity.logme import logme
from fastpipe.similarity.transrate import transrate

__all__ = ["run"]

IMAGES, FEATURES, CLASSES, KINDS = 1000, 256, 10, 1000


def run() -> list[Row]:
    """A row for each score that has a slower literal form."""
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, IMAGES)
    features = random.gamma(0.5, 1, (IMAGES, FEATURES))
    features += 0.3 * random.gamma(0.5, 1, (CLASSES, FEATURES))[labels]
    theta = random.dirichlet(np.full(KINDS, 0.1), IMAGES)
    return [
        _row("logme", logme, _logme, features, labels),
        _row("leep", leep, _leep, theta, labels),
        _row("h-score", h_score, _h_score, features, labels),
        _row("regularised h-score", regularised_h_score, _regularised, features, labels),
        _row("transrate", transrate, _transrate, features, labels),
    ]


def _row(name: str, ours, literal, x: np.ndarray, labels: np.ndarray) -> Row:
    found: dict[str, float] = {}
    seconds = interleaved(
        {
            "ours": lambda: found.update(ours=ours(x, labels)),
            "literal": lambda: found.update(literal=literal(x, labels)),
        },
        rounds=3,
    )
    return Row(
        name,
        statistics.median(seconds["ours"]),
        statistics.median(seconds["literal"]),
        ratio(seconds["literal"], seconds["ours"]),
        "s",
        note=f"{IMAGES} images, {CLASSES} classes, {x.shape[1]} columns; times faster than the "
        f"literal formula; values agree to {abs(found['ours'] / found['literal'] - 1):.0e}",
    )


def _logme(F: np.ndarray, labels: np.ndarray) -> float:
    """Bishop's log evidence (PRML 3.86), each class by a simplex search over log α and log β."""
    n, D = F.shape
    gram, total = F.T @ F, 0.0
    for label in np.unique(labels):
        y = (labels == label).astype(float)
        moment = F.T @ y

        def loss(p: np.ndarray, y: np.ndarray = y, moment: np.ndarray = moment) -> float:
            alpha, beta = np.exp(p)
            A = alpha * np.eye(D) + beta * gram
            m = beta * np.linalg.solve(A, moment)
            energy = beta / 2 * np.square(y - F @ m).sum() + alpha / 2 * m @ m
            log_det = np.linalg.slogdet(A)[1]
            return energy + log_det / 2 - (D * p[0] + n * (p[1] - np.log(2 * np.pi))) / 2

        total -= minimize(loss, [5.0, 3.0], method="Nelder-Mead", options={"fatol": 1e-6}).fun
    return total / len(np.unique(labels)) / n


def _leep(theta: np.ndarray, labels: np.ndarray) -> float:
    joint = np.zeros((CLASSES, theta.shape[1]))
    for row, label in zip(theta, labels, strict=True):
        joint[label] += row / len(theta)
    conditional = joint / joint.sum(0)
    total = 0.0
    for row, label in zip(theta, labels, strict=True):
        total += np.log(conditional[label] @ row)
    return total / len(theta)


def _class_means(F: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.array([F[labels == label].mean(0) for label in range(CLASSES)])[labels]


def _h_score(F: np.ndarray, labels: np.ndarray) -> float:
    between = np.cov(_class_means(F, labels), rowvar=False)
    return np.trace(np.linalg.pinv(np.cov(F, rowvar=False), hermitian=True) @ between)


def _regularised(F: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.covariance import ledoit_wolf

    covariance, alpha = ledoit_wolf(F)
    between = np.cov(_class_means(F, labels), rowvar=False, bias=True)
    return np.trace(np.linalg.inv(covariance) @ between) * (1 - alpha)


def _transrate(F: np.ndarray, labels: np.ndarray, epsilon: float = 1e-4) -> float:
    def rate(Z: np.ndarray) -> float:
        return np.linalg.slogdet(np.eye(Z.shape[1]) + Z.T @ Z / (len(Z) * epsilon))[1] / 2

    Z = F - F.mean(0)
    parts = [Z[labels == label] for label in range(CLASSES)]
    return rate(Z) - sum(len(part) / len(Z) * rate(part) for part in parts)


if __name__ == "__main__":
    print_table(run())
