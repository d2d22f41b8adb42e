"""Large piles: what shards find by chance, which candidates are one, what is drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisescope_core.whitened.discovery.confidence import fit_bar
from noisescope_core.whitened.piles.shards import (
    Candidate,
    credible,
    drawn,
    same_pattern,
    shard_count,
)
from noisescope_core.whitened.planes.bands import PLANES, layout
from noisescope_core.whitened.planes.whitening import packed


def test_piles_are_cut_only_where_they_are_too_large():
    assert shard_count(2000, 2000, 1000) == 1
    assert shard_count(2001, 2000, 1000) == 3


def candidate(cohesion, repeats=(), off_grid=True, accepted=True):
    return Candidate(("a",), cohesion, repeats, off_grid, accepted)


def test_a_candidate_must_exceed_what_chance_finds_in_any_shard():
    found = [
        candidate(2.0, [1.0]),
        candidate(0.9, [1.8], accepted=False),
        candidate(9.0),
        candidate(2.4, [0.4]),
        candidate(1.2, [0.2], off_grid=False),
        candidate(1.2, [0.2], off_grid=False, accepted=False),
    ]
    assert credible(found, 1.3) == [2, 3, 4]


def test_candidates_of_one_pattern_are_one_group():
    rng = np.random.default_rng(0)
    bins = layout(64, 64)
    patterns = rng.normal(size=(2, len(PLANES), bins.values)).astype(np.float32)
    counts = np.array([8, 12, 9, 20])
    sums = []
    for which, count in zip((0, 1, 0, 1), counts, strict=True):
        features = rng.normal(size=(count, *patterns.shape[1:])) + 0.15 * patterns[which]
        sums.append(packed(features.sum(0) / np.sqrt(count)))
    group = same_pattern(np.stack(sums), counts, bins)
    assert group[0] == group[2] != group[1] == group[3]
    unrelated = np.stack([packed(rng.normal(size=patterns.shape[1:])) for _ in range(20)])
    assert len(set(same_pattern(unrelated, np.full(20, 5), bins).tolist())) == 20


@given(
    sizes=st.lists(st.integers(1, 400), max_size=12),
    pile=st.integers(6000, 100_000),
    size=st.integers(40, 500),
)
def test_the_sample_holds_every_group_and_stands_for_the_pile(sizes, pile, size):
    groups, first = [], 0
    for count in sizes:
        groups.append([f"{k:06d}" for k in range(first, first + count)])
        first += count
    others = [f"{k:06d}" for k in range(6000)]
    weights = drawn(groups, others, pile, pile, size)
    assert len(weights) == size
    assert set(weights) <= set(others)
    for group in groups:
        taken = [member for member in group if member in weights]
        assert taken
        if len(taken) < len(group):
            # None that is larger gets less.
            assert len(taken) >= (size - int(0.25 * size)) // len(groups)
    assert sum(weights.values()) == pytest.approx(pile)


def test_a_sample_has_the_bar_of_the_pile_that_it_stands_for():
    rng = np.random.default_rng(1)
    reference = rng.normal(size=2000)
    members, others = rng.normal(9, 1.5, 50), rng.normal(size=150)
    scores = np.concatenate([members, others])
    chosen = np.arange(200) < 50
    stands_for = np.where(chosen, 10.0, 60.0)
    sample = fit_bar(scores, reference, chosen, stands_for)
    pile = fit_bar(np.repeat(scores, stands_for.astype(int)), reference,
                   np.repeat(chosen, stands_for.astype(int)))  # fmt: skip
    assert sample == pile
    assert sample.threshold > fit_bar(scores, reference, chosen).threshold
