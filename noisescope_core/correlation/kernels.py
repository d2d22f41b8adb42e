"""Compiled inner loops of the correlation: what `spectra` and `pairs` work out by the million.

Each loop takes and fills arrays; their shapes are those of `spectra.Spectra` and
`spectra.FoldedTransforms`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from noisescope_core.compiled import compiled, compiled_sums

HOLE = 11
"""Side of the neighbourhood of zero shift that the mean leaves out, pixels (paper, section 3.2)."""

GROUP_WIDTH = 16
"""Neighbouring frequencies of a row whose power is added up. Chosen (docs/decisions, 2): the bound
of the energy then costs an eighth of the product of all powers."""

DEVIATIONS = 8
"""Standard deviations between the energy and its lower bound. Chosen (docs/decisions, 2).

The energy is the sum of P Q over all frequencies, P and Q the powers of two residuals. With their
means over groups in place of P and Q it differs by the sum of the products of their deviations.
Where the two have nothing in common each product has mean 0 and whatever variance the two have in
its group; lines in common make the sum positive; lines of the one beside lines of the other make
it negative, but the variance large as well.
"""

PAIR_TILE = 8
"""Pairs of so many residuals with so many others are worked out after one another. Chosen: their
transforms stay in the cache."""


@compiled
def mark_open(products: Any, means: Any, variance: Any, bar: float, shifts: int) -> Any:
    """Mark the pairs whose PCE may be above a threshold.

    Parameters
    ----------
    products : (n, m) float, dot products of the residuals
    means, variance : (n, m) float64, of the energy, from groups of frequencies
    bar : what is left of the threshold when the hole holds its largest share of the energy
    shifts : shifts outside the hole

    Returns
    -------
    (n, m) bool
    """
    open_pairs = np.empty(products.shape, np.bool_)
    for i in range(products.shape[0]):
        for j in range(products.shape[1]):
            peak = np.float64(products[i, j])
            least = means[i, j] - DEVIATIONS * np.sqrt(variance[i, j])
            # The bound p^2 (N - 121) / (energy - p^2) in a form without a division.
            open_pairs[i, j] = peak > 0 and peak * peak * (shifts + bar) > least * bar
    return open_pairs


@compiled
def group_power(transform: Any, weights: Any, power: Any) -> None:
    """Add up the power of every group of frequencies, and its squared deviations from their mean.

    Parameters
    ----------
    transform : (n, H // 2 + 1, W) complex
    weights : (H // 2 + 1,) float64, roots of how often a row counts, over the number of pixels
    power : (n, 2, H // 2 + 1, groups) float64, is filled: both over the root of the group's size
    """
    width = transform.shape[2]
    for i in range(transform.shape[0]):
        for k in range(transform.shape[1]):
            row = transform[i, k]
            for group in range(power.shape[3]):
                first, last = group * GROUP_WIDTH, min((group + 1) * GROUP_WIDTH, width)
                total = squares = row[0].real * 0
                for c in range(first, last):
                    value = row[c].real * row[c].real + row[c].imag * row[c].imag
                    total += value
                    squares += value * value
                level, scale = weights[k] * total, 1 / np.sqrt(last - first)
                power[i, 0, k, group] = scale * level
                deviations = weights[k] ** 2 * squares - level**2 / (last - first)
                power[i, 1, k, group] = scale * max(deviations, 0)


@compiled
def fold(transform: Any, both: Any, first: Any) -> None:
    """Lay frequencies k and W - k of every row side by side, as `FoldedTransforms` has them.

    Parameters
    ----------
    transform : (n, H // 2 + 1, W) complex
    both, first : are filled
    """
    width = transform.shape[2]
    for i in range(transform.shape[0]):
        for k in range(transform.shape[1]):
            row, ahead, out = transform[i, k], first[i, k], both[i, k]
            ahead[0], ahead[1] = row[0].real, row[0].imag
            for c in range(width // 2):
                out[0, c], out[1, c] = row[c + 1].real, row[c + 1].imag
            for c in range(width // 2):
                out[2, c], out[3, c] = row[width - 1 - c].real, row[width - 1 - c].imag
            if width % 2 == 0:
                out[2:, width // 2 - 1] = 0


@compiled_sums
def pair_energies(left_stack: Any, right_stack: Any, pairs: Any, tables: Any) -> Any:
    """Work out energy and hole of a few pairs; the sums of one row's loop stay in registers.

    Parameters
    ----------
    left_stack, right_stack : two arrays each, `both` and `first` of `FoldedTransforms`
    pairs : two arrays (p,) int, row numbers on the left and on the right
    tables : two arrays, cosines and sines along a row, (2, 6, W // 2), and down, weighed,
        (2, 6, H // 2 + 1)

    Returns
    -------
    (2, p) float64
        Sum of C^2 over all shifts, and over the hole.
    """
    a, a0 = left_stack
    b, b0 = right_stack
    first, second = pairs
    along, across = tables
    lines = a.shape[1]
    sums = np.empty((len(first), 2, HOLE, lines), a.dtype)
    energies = np.zeros((2, len(first)))
    c1, c2, c3, c4, c5 = along[0, 1], along[0, 2], along[0, 3], along[0, 4], along[0, 5]
    s1, s2, s3, s4, s5 = along[1, 1], along[1, 2], along[1, 3], along[1, 4], along[1, 5]
    for y in range(lines):
        for p in range(len(first)):
            left, right = a[first[p], y], b[second[p], y]
            ar, ai, br, bi = left[0], left[1], right[0], right[1]
            cr, ci, dr, di = left[2], left[3], right[2], right[3]
            u, v = a0[first[p], y], b0[second[p], y]
            re0 = u[0] * v[0] + u[1] * v[1]
            im0 = u[1] * v[0] - u[0] * v[1]
            re1 = re2 = re3 = re4 = re5 = re0
            im1 = im2 = im3 = im4 = im5 = im0
            zero = re0 - re0
            er1 = er2 = er3 = er4 = er5 = ei1 = ei2 = ei3 = ei4 = ei5 = zero
            energy = re0 * re0 + im0 * im0
            for x in range(along.shape[2]):
                re = ar[x] * br[x] + ai[x] * bi[x]
                im = ai[x] * br[x] - ar[x] * bi[x]
                re_ = cr[x] * dr[x] + ci[x] * di[x]
                im_ = ci[x] * dr[x] - cr[x] * di[x]
                energy += re * re + im * im + re_ * re_ + im_ * im_
                # The two frequencies share their cosines and have opposite sines.
                er, ei = re - re_, im - im_
                re, im = re + re_, im + im_
                re0 += re
                im0 += im
                re1 += c1[x] * re
                im1 += c1[x] * im
                er1 += s1[x] * er
                ei1 += s1[x] * ei
                re2 += c2[x] * re
                im2 += c2[x] * im
                er2 += s2[x] * er
                ei2 += s2[x] * ei
                re3 += c3[x] * re
                im3 += c3[x] * im
                er3 += s3[x] * er
                ei3 += s3[x] * ei
                re4 += c4[x] * re
                im4 += c4[x] * im
                er4 += s4[x] * er
                ei4 += s4[x] * ei
                re5 += c5[x] * re
                im5 += c5[x] * im
                er5 += s5[x] * er
                ei5 += s5[x] * ei
            energies[0, p] += energy * across[0, 0, y]
            with_cos = (re0, re1, re2, re3, re4, re5, ei1, ei2, ei3, ei4, ei5)
            with_sin = (im0, im1, im2, im3, im4, im5, er1, er2, er3, er4, er5)
            for k in range(HOLE):
                sums[p, 0, k, y] = with_cos[k]
                sums[p, 1, k, y] = with_sin[k]
    for p in range(len(first)):
        for half in range(2):
            for k in range(HOLE):
                line = sums[p, half, k]
                for shift in range(half, along.shape[1]):
                    wave, c = across[half, shift], a.dtype.type(0)
                    for y in range(lines):
                        c += line[y] * wave[y]
                    energies[1, p] += c * c * ((2 if shift else 1) * (2 if k else 1))
    return energies
