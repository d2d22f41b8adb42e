"""From scores to verdicts: the bar of a fingerprint, and how sure a verdict is.

This is step 8 of docs/method.md. In come the scores of tested and of held-out reference images
against one fingerprint, out comes its `Bar`.

Scores are standardised by the reference images that served for nothing else (median and median
absolute deviation). Both kinds are taken to follow Student's t, whose tails are as heavy as theirs:
photographs around 0, members around the median of the members' own scores, each against the
others. The odds of a member are the two densities times the two kinds' numbers. The bar is where
the odds are even, hence in the gap between the kinds if there is one, but never below the promised
false-positive rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, gammaln, stdtrit

from noisescope_core.method import Score
from noisescope_core.whitened.discovery.growth import FALSE_POSITIVES
from noisescope_core.whitened.robust import median_and_spread

STUDENT_FREEDOM = 8.0
"""Degrees of freedom of both laws (docs/method.md, step 8). Chosen: its tails are heavier
than a normal law's, as those of scores are."""

LEAST_DEVIATION = 1.0
"""Spread of members' scores, in spreads of the reference, at least. Chosen: members' scores vary as
noise does, and by more where their strengths differ."""

GRADES = 2000
"""Scores between 0 and the members' mean at which the odds are worked out. Chosen: steps far finer
than a spread."""

DECIDES = 1e-3
"""Weight of the score beside the odds when fits are compared. Chosen, so small that it decides only
between equal odds."""


@dataclass(frozen=True)
class Bar:
    """How scores against one fingerprint are read.

    Attributes
    ----------
    centre, spread : of the reference images' scores; the standardised score is
        z = (score - centre) / spread
    threshold : z above which an image carries the fingerprint
    mean, deviation : of the members' z
    prior : natural logarithm of the number of members over that of the others
    """

    centre: float
    spread: float
    threshold: float
    mean: float
    deviation: float
    prior: float

    @classmethod
    def of_row(cls, row: Any) -> Bar:
        """Read it from a row of `fingerprints`."""
        return cls(
            row.reference_centre,
            row.reference_spread,
            row.threshold,
            row.member_mean,
            row.member_spread,
            row.prior,
        )

    def columns(self) -> Mapping[str, Any]:
        """Give it as columns of `fingerprints`."""
        return {
            "reference_centre": self.centre,
            "reference_spread": self.spread,
            "threshold": self.threshold,
            "member_mean": self.mean,
            "member_spread": self.deviation,
            "prior": self.prior,
        }

    def standardised(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Scores as multiples of the reference images' spread."""
        return (np.asarray(scores, np.float64) - self.centre) / self.spread

    def log_odds(self, z: ArrayLike) -> NDArray[np.float64]:
        """Logarithm of the odds that images of these standardised scores are members."""
        z = np.asarray(z, np.float64)
        # A member stronger than most is no less of a member, a negative score no more of one.
        member = _log_density((np.minimum(z, self.mean) - self.mean) / self.deviation)
        other = _log_density(np.maximum(z, 0))
        return np.asarray(self.prior + member - np.log(self.deviation) - other)

    def fit(self, z: ArrayLike) -> NDArray[np.float64]:
        """Grade how well images fit, to be compared between fingerprints; above 0 over the bar."""
        # Odds saturate where members abound; the score then decides.
        z = np.asarray(z, np.float64)
        above = np.maximum(self.log_odds(z), 0) + DECIDES * z
        return np.where(z > self.threshold, above, z - self.threshold)

    def confidence(self, z: ArrayLike) -> NDArray[np.float64]:
        """Probability, 0..1, that images of these standardised scores are members."""
        return np.asarray(expit(self.log_odds(z)), np.float64)


def best_fit(tested: Iterable[tuple[str, Bar, float]]) -> Score:
    """Answer for the fingerprint that fits an image best, of those above their bars if any are.

    Parameters
    ----------
    tested : id, bar and the image's standardised score of each fingerprint; at least one

    Returns
    -------
    Score
        The signed square of the standardised score, on the scale of PCE: unrelated images have
        about a chi-square with one degree of freedom.
    """
    graded = []
    for name, bar, z in tested:
        score = Score(
            z * abs(z),
            name,
            threshold=bar.threshold**2,
            confidence=float(bar.confidence(z)),
            typical=z >= bar.mean - bar.deviation,
        )
        graded.append((float(bar.fit(z)), score.score, name, score))
    return max(graded, key=lambda grade: grade[:3])[-1]


def fit_bar(
    scores: ArrayLike,
    reference: ArrayLike,
    members: NDArray[np.bool_],
    stands_for: NDArray[np.float64] | None = None,
) -> Bar:
    """Set the bar of a fingerprint.

    Parameters
    ----------
    scores : (t,) float
        Tested images, each without itself.
    reference : (r,) float
        Reference images that served for nothing else.
    members : (t,) bool
        At least one.
    stands_for : (t,) float or None
        Images of the pile that each tested image stands for, where they are a sample of it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> members = np.arange(200) < 50
    >>> scores = rng.normal(size=200) + 10 * members
    >>> bar = fit_bar(scores, rng.normal(size=300), members)
    >>> bool(((bar.standardised(scores) > bar.threshold) == members).all())
    True
    >>> bar.confidence([0.0, 10.0]).round(3).tolist()
    [0.0, 1.0]
    """
    centre, spread = (
        float(value) for value in median_and_spread(np.asarray(reference, np.float64))
    )
    z = (np.asarray(scores, np.float64) - centre) / spread
    mean = float(np.median(z[members]))
    deviation = max(LEAST_DEVIATION, float(median_and_spread(z[members])[1]))
    weights = np.ones(len(members)) if stands_for is None else stands_for
    count = float(weights[members].sum())
    prior = float(np.log(count / max(float(weights.sum()) - count, 1.0)))
    promised = float(stdtrit(STUDENT_FREEDOM, 1 - FALSE_POSITIVES))
    bar = Bar(centre, spread, promised, mean, deviation, prior)
    grid = np.linspace(0, max(mean, promised), GRADES)
    against = grid[bar.log_odds(grid) < 0]
    even = float(against[-1]) if len(against) else 0.0
    return Bar(centre, spread, max(promised, min(even, mean)), mean, deviation, prior)


def _log_density(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the density of Student's t."""
    half = (STUDENT_FREEDOM + 1) / 2
    scale = gammaln(half) - gammaln(STUDENT_FREEDOM / 2) - np.log(STUDENT_FREEDOM * np.pi) / 2
    return np.asarray(scale - half * np.log1p(z * z / STUDENT_FREEDOM))
