"""NCE: how much of the target's labels do the source's labels of the same images determine?

Tran, Nguyen and Hassner, "Transferability and hardness of supervised classification tasks" (ICCV
2019), section 3: the negative conditional entropy

    −H(Y | Z) = 1/n Σᵢ log P(yᵢ | zᵢ),    P the empirical frequencies,

here with zᵢ the class that the source's head gives image i. At most 0; 0 if Z determines Y.
"""

import numpy as np
from numpy.typing import ArrayLike

from fastpipe.similarity.labelled import class_codes

__all__ = ["nce"]


def nce(source_labels: ArrayLike, labels: ArrayLike) -> float:
    """Negative conditional entropy of the labels given the source's [nats].

    Args:
        source_labels: integers [n], the source head's predictions; any number of classes.
        labels: integers [n]; classes are the labels that occur.

    Raises:
        UserError: there is only one target class.
        ValueError: not as many source labels as labels, or they are no integers.
    """
    source = np.asarray(source_labels)
    if source.ndim != 1 or source.dtype.kind not in "iu":
        raise ValueError(f"source labels must be integers [n], not {source.dtype} {source.shape}")
    codes, classes = class_codes(labels, len(source))
    kinds, of_source = np.unique(source, return_inverse=True)
    together = np.zeros((len(classes), len(kinds)))
    np.add.at(together, (codes, of_source), 1.0)
    return float(np.log(together[codes, of_source] / together.sum(0)[of_source]).mean())
