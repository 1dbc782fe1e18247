"""Linear least squares for a few dozen parameters and many rows, without a numerical library: the runtime has none.

Normal equations with scaled columns, solved by their eigenvalues (Golub, Van Loan, "Matrix Computations", sections
5.3.7 and 8.5: cyclic Jacobi). Each parameter has a prior value with a standard deviation of PRIOR of its scale: where
the rows tell a direction well it does not matter, where they tell nothing it stays, and where they tell less than their
noise it holds (Bayesian linear regression; Bishop, "Pattern Recognition and Machine Learning", section 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

TINY = 1e-11  # of the largest eigenvalue: squares of the singular values, so 3e-6 of the largest of those
PRIOR = 3.0  # standard deviation of the prior, in units of the scale
SWEEPS = 60
DETERMINED = 0.99  # share of what is known of a parameter that has to come from the rows


@dataclass(frozen=True, slots=True)
class Solution:
    """Parameters, their standard errors (the prior's where only that speaks), whether each is determined by the rows,
    the number of determined directions, and the sum of squared residuals without the prior."""

    values: list[float]
    errors: list[float]
    determined: list[bool]
    rank: int
    squares: float


class LeastSquares:
    """Collects rows `coefficients . x = value`. `prior` is where undetermined directions stay; `scale` how large a
    change of each parameter is, in its unit (all above 0); `least_noise` how well a value is known at best (0 or
    more): errors that do not average out, which a fit with many parameters would follow and not show."""

    def __init__(self, prior: Sequence[float], scale: Sequence[float], least_noise: float = 0.0) -> None:
        self._prior, self._scale, self._least_variance = list(prior), list(scale), least_noise**2
        size = len(self._prior)
        self._normal = [[0.0] * size for _ in range(size)]
        self._right = [0.0] * size
        self._squares = 0.0
        self.rows = 0

    def add(self, coefficients: Sequence[tuple[int, float]], value: float) -> None:
        """One row: (index, coefficient) of the parameters that are in it, and what they add up to."""
        left = value - sum(factor * self._prior[index] for index, factor in coefficients)
        scaled = [(index, factor * self._scale[index]) for index, factor in coefficients if factor]
        for at, (index, factor) in enumerate(scaled):
            self._right[index] += factor * left
            row = self._normal[index]
            for other, more in scaled[at:]:
                row[other] += factor * more
        self._squares += left * left
        self.rows += 1

    def solve(self) -> Solution:
        """The parameters; ValueError when there are no more rows than directions that they tell of."""
        size = len(self._prior)
        full = [[self._normal[min(i, k)][max(i, k)] for k in range(size)] for i in range(size)]
        values, vectors = eigen(full)
        largest = max(values, default=0.0)
        told = [k for k in range(size) if values[k] > TINY * largest > 0.0]
        if self.rows <= len(told):
            raise ValueError(f"{self.rows} measurements for {len(told)} parameters: measure more points")
        parts = {k: sum(vectors[i][k] * self._right[i] for i in range(size)) for k in told}
        squares = max(0.0, self._squares - sum(part * part / values[k] for k, part in parts.items()))
        variance = max(self._least_variance, squares / (self.rows - len(told)))
        trust = variance / PRIOR**2
        change = [sum(vectors[i][k] * parts[k] / (values[k] + trust) for k in told) for i in range(size)]
        told_share = [sum(vectors[i][k] ** 2 * values[k] / (values[k] + trust) for k in told) for i in range(size)]
        spread = [sum(vectors[i][k] ** 2 * (variance / (values[k] + trust) if k in parts else PRIOR**2)
                      for k in range(size)) for i in range(size)]
        return Solution([old + self._scale[i] * change[i] for i, old in enumerate(self._prior)],
                        [self._scale[i] * math.sqrt(spread[i]) for i in range(size)],
                        [share > DETERMINED for share in told_share],
                        sum(values[k] * (1.0 - DETERMINED) > DETERMINED * trust for k in told), squares)


def eigen(matrix: Sequence[Sequence[float]]) -> tuple[list[float], list[list[float]]]:
    """Eigenvalues and eigenvectors (columns) of a symmetric matrix."""
    a = [list(row) for row in matrix]
    size = len(a)
    v = [[1.0 if i == k else 0.0 for k in range(size)] for i in range(size)]
    total = sum(x * x for row in a for x in row)
    for _ in range(SWEEPS):
        if sum(a[i][k] ** 2 for i in range(size) for k in range(i)) <= 1e-32 * total:
            break
        for p in range(size - 1):
            for q in range(p + 1, size):
                if a[p][q]:
                    _rotate(a, v, p, q)
    return [a[i][i] for i in range(size)], v


def _rotate(a: list[list[float]], v: list[list[float]], p: int, q: int) -> None:
    """One Jacobi rotation that makes a[p][q] zero."""
    theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q])
    t = math.copysign(1.0, theta) / (abs(theta) + math.hypot(theta, 1.0))
    c = 1.0 / math.hypot(t, 1.0)
    s = t * c
    for row in a:
        row[p], row[q] = c * row[p] - s * row[q], s * row[p] + c * row[q]
    above, below = a[p], a[q]
    for k in range(len(a)):
        above[k], below[k] = c * above[k] - s * below[k], s * above[k] + c * below[k]
    a[p][q] = a[q][p] = 0.0
    for row in v:
        row[p], row[q] = c * row[p] - s * row[q], s * row[p] + c * row[q]
