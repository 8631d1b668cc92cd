"""Standard errors and 95 % intervals of a mean: independent documents (t, Wilson) and documents in clusters.

Pure formulas over numbers; which one is used when is decided in `estimate`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assay_runner.statistics import exact
from assay_runner.statistics.units import Clusters, members, numbered

Interval = tuple[float, float]

Z = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""


def standard_error(values: Sequence[float] | NDArray[np.float64]) -> float:
    """sd(ddof = 1)/√n of at least two values (central limit theorem; Miller 2024, eq. 1)."""
    n, off = len(values), np.asarray(values, dtype=np.float64) - exact.mean(values)
    return math.sqrt(exact.total(off * off) / (n - 1) / n)


def clustered_standard_error(values: Sequence[float] | NDArray[np.float64], clusters: Clusters) -> float:
    """√(G/(G−1) · Σ_g (Σ_{i∈g} (s_i − s̄))²) / n for at least two clusters.

    The cluster-robust sandwich of a regression on a constant with the usual small-sample factor (Cameron & Miller 2015,
    section II); without the factor it is Miller 2024, eq. 4.
    """
    n, off = len(values), np.asarray(values, dtype=np.float64) - exact.mean(values)
    totals = np.array([math.fsum(off[places].tolist()) for places in members(numbered(clusters)[0])])
    return math.sqrt(len(totals) / (len(totals) - 1) * exact.total(totals * totals)) / n


def t_interval(center: float, error: float, degrees: float) -> Interval:
    """center ± t₀.₉₇₅ · error, with `degrees` > 0 degrees of freedom, a whole number or not."""
    margin = t_quantile(degrees) * error
    return center - margin, center + margin


def normal_interval(center: float, error: float) -> Interval:
    """center ± z₀.₉₇₅ · error."""
    return center - Z * error, center + Z * error


def wilson_interval(share: float, n: int) -> Interval:
    """The score interval of a proportion `share` of `n` ≥ 1 independent trials (Wilson 1927); within [0, 1].

    It neither collapses to a point at 0 and 1 nor leaves the range, and covers well from small n on (Brown, Cai &
    DasGupta 2001).
    """
    shrink = 1 + Z * Z / n
    middle = (share + Z * Z / (2 * n)) / shrink
    margin = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n)) / shrink
    # At 0 and 1 the end is the value itself, which rounding must not miss.
    return (0.0 if share == 0 else max(0.0, middle - margin)), (1.0 if share == 1 else min(1.0, middle + margin))


def t_quantile(degrees: float, share: float = 0.975) -> float:
    """The point below which `share` of Student's t distribution with `degrees` > 0 degrees of freedom lies, to 12
    significant digits."""
    from scipy.special import stdtrit

    return twelve_digits(float(stdtrit(degrees, share)))


def t_p_value(t: float, degrees: float) -> float:
    """The two-sided p-value of `t` under Student's t distribution with `degrees` > 0 degrees of freedom, to 12 significant
    digits."""
    from scipy.special import stdtr

    return twelve_digits(2 * float(stdtr(degrees, -abs(t))))


def twelve_digits(value: float) -> float:
    """The value to 12 significant digits: a library's last digits may depend on processor and version; these do not."""
    return float(f"{value:.12g}")
