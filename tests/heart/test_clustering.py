"""Fast merging: the greedy order, planted patterns, and the original program's whole run."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisescope_core.correlation.matching import match_pairs
from noisescope_core.correlation.pairs import Pairs, pce_matrix
from noisescope_core.correlation.spectra import spectra
from noisescope_core.fingerprint import reference_blocks, sample_members
from noisescope_core.paper import clustering
from noisescope_core.paper.calibration import fingerprint_blocks, merge_threshold
from noisescope_core.paper.classifier import fit_texture, texture_margins
from noisescope_core.paper.clustering import cluster_residuals, fast_merging
from noisescope_core.paper.detector import detection_threshold, score_images
from noisescope_core.residual import noise_residual
from noisescope_core.texture import haralick_features


def naive_matching(edges):
    taken, struck = [], set()
    for low, high, _ in sorted(edges, key=lambda e: (-e[2], e[0], e[1])):
        if not {low, high} & struck:
            taken.append((low, high))
            struck |= {low, high}
    return taken


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from([1.0, 2.0, 3.5])),
        unique_by=lambda e: frozenset(e[:2]),
    )
)
def test_a_round_takes_the_highest_pair_first(edges):
    edges = [(min(a, b), max(a, b), p) for a, b, p in edges if a != b]
    first = np.array([e[1] for e in edges], dtype=np.int64)
    second = np.array([e[0] for e in edges], dtype=np.int64)
    pairs = Pairs(first, second, np.array([e[2] for e in edges], dtype=float), 0, 0)
    assert match_pairs(pairs, 10) == naive_matching(edges)


def planted(sizes, strength, seed=0, side=64):
    rng = np.random.default_rng(seed)
    stack = rng.normal(size=(sum(sizes), side, side))
    start = 0
    for size in sizes[:-1]:
        stack[start : start + size] += strength * rng.normal(size=(side, side))
        start += size
    return stack


def test_planted_patterns_are_found_and_kept_apart():
    merging = cluster_residuals(
        planted([24, 15, 20], 0.5), 25.0, lambda c: [len(m) == 15 for m in c], classify_above=10
    )
    assert merging.clusters == [tuple(range(24)), tuple(range(24, 39))]
    assert merging.flagged == [tuple(range(24, 39))]
    assert merging.compared > 0


def test_stops_before_the_next_round_once_a_large_cluster_is_flagged():
    asked = []

    def classify(clusters):
        asked.append([len(m) for m in clusters])
        return [True] * len(clusters)

    merging = cluster_residuals(
        planted([32, 1], 0.8), 25.0, classify, check_above=7, classify_above=5
    )
    assert len(asked) == 1
    assert max(map(len, merging.rounds[-1])) == 8
    assert len(merging.flagged) == len(asked[0])


def test_nothing_in_common_merges_nothing():
    merging = cluster_residuals(planted([20], 0), 60.0, lambda c: [True] * len(c))
    assert merging.rounds == []
    assert merging.flagged == []
    assert merging.clusters == []


def test_clusters_are_compared_by_their_means(monkeypatch):
    stack = planted([12, 9, 8], 0.4, seed=2)
    old_clusters = 0

    def checked(images, pairs, recompute, classify, **limits):
        def compared(new, old):
            nonlocal old_clusters
            old_clusters += sum(len(members) > 1 for members in old.values())
            found = recompute(new, old)
            row_of = {key: row for row, key in enumerate([*new, *old])}
            matrix = pce_matrix([stack[list((new | old)[k])].mean(axis=0) for k in row_of])
            first = [row_of[k] for k in found.first]
            second = [row_of[k] for k in found.second]
            assert found.pce == pytest.approx((matrix + matrix.T)[first, second], rel=1e-4)
            assert len(found.pce) == (matrix[:, : len(new)] > 20.0).sum()
            return found

        return fast_merging(images, pairs, compared, classify, **limits)

    monkeypatch.setattr(clustering, "fast_merging", checked)
    cluster_residuals(stack, 20.0, lambda c: [True] * len(c))
    assert old_clusters


def test_order_of_the_images_does_not_matter():
    stack = planted([20, 12, 10], 0.5, seed=4)
    order = np.random.default_rng(1).permutation(len(stack))
    plain = cluster_residuals(stack, 25.0, lambda c: [True] * len(c), classify_above=5)
    moved = cluster_residuals(stack[order], 25.0, lambda c: [True] * len(c), classify_above=5)
    renamed = [sorted(tuple(sorted(order[list(m)])) for m in r) for r in moved.rounds]
    assert renamed == [[tuple(m) for m in r] for r in plain.rounds]


def test_parity_with_the_original_run(shared):
    run = json.loads((shared / "oracle/reference_run.json").read_text())
    data = shared / "data/cyclegan"

    def residuals(files):
        return np.stack([noise_residual(cv2.imread(str(f))[:, :, ::-1]) for f in files])

    names = [f"fake/{i:04d}" for i in range(70)] + [f"real/{i:04d}" for i in range(50)]
    stack = residuals([data / f"{n}.{'png' if n[0] == 'f' else 'jpg'}" for n in names])
    reference = residuals([data / f"real/{i:04d}.jpg" for i in range(700, 1100)])

    blocks = fingerprint_blocks(400)
    calibrated = merge_threshold(reference[blocks].mean(axis=1, dtype=np.float64))
    assert abs(calibrated - run["calibration"]["t_merge"]) < 1e-4 * calibrated

    blocks = reference_blocks(400)
    model = fit_texture([haralick_features(reference[b].mean(axis=0)) for b in blocks])

    def classify(clusters):
        samples = [[int(i) for i in sample_members([f"{m:03d}" for m in c])] for c in clusters]
        features = [haralick_features(stack[s].mean(axis=0)) for s in samples]
        return list(texture_margins(model, features) < 0)

    merging = cluster_residuals(stack, run["t_merge"], classify)

    def named(clusters):
        return sorted(sorted(names[i] for i in members) for members in clusters)

    assert [[], *map(named, merging.rounds)] == [sorted(r) for r in run["rounds"]]
    assert named(merging.clusters) == sorted(run["final_clusters"])
    assert named(merging.flagged) == sorted(run["flagged"])

    fingerprints = spectra([stack[list(m)].mean(axis=0) for m in merging.flagged], np.float64)
    scores, _ = score_images(stack, fingerprints)
    expected = np.array([run["detection"]["scores"][name] for name in names])
    # PCE goes through zero: below 1 the error is held against 1.
    assert (abs(scores - expected) < 1e-4 * np.maximum(abs(expected), 1)).all()
    reference_scores, _ = score_images(reference, fingerprints)
    threshold = detection_threshold(reference_scores)
    assert abs(threshold - run["detection"]["threshold"]) < 1e-4 * threshold
