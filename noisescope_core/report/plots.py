"""Figures for notebooks: residuals, fingerprints, scores, one image explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.dataset as ds
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from noisescope_core.app.explanation import Explanation
from noisescope_core.correlation.surface import peak_in_the_middle, peak_shift
from noisescope_core.report.figures import (
    FLAG,
    INK,
    MUTED,
    QUIET,
    centre,
    pixels_of,
    signed_root,
    spectrum_of,
)
from noisescope_core.tables.results import Results, Scores
from noisescope_core.whitened.planes.bands import PLANES, RINGS

SHOWN_SIDE = 384
"""Pixels a side of the centre of a residual that is drawn; chosen, as `figures.LARGEST_SIDE`."""

ZOOM_SIDE = 48
"""Pixels a side of its detail; chosen: single pixels are seen."""

AROUND = 31
"""Pixels of a correlation surface that are drawn on each side of its peak; chosen: enough beside it
to show that it is one pixel wide."""

PLAIN = {INK: "#1c2126", MUTED: "#59636d", QUIET: "#7d93a8", FLAG: "#b23b16"}
"""Colours of a figure that stands alone."""

GROUPS = (PLAIN[FLAG], PLAIN[QUIET], "#588157", "#8a5a9e", PLAIN[INK])
"""Colours of groups beside each other."""


def plot_residual(residual: NDArray[np.floating], title: str = "noise residual") -> Figure:
    """Draw a noise residual or fingerprint: its centre, a detail of it, and its power spectrum.

    Parameters
    ----------
    residual : (H, W) float, grey levels, around 0

    Returns
    -------
    matplotlib.figure.Figure
        Mid-grey is 0, black and white are 3 standard deviations; the spectrum is logarithmic, zero
        frequency in its middle.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(64, 64))
    >>> len(plot_residual(noise).axes)
    3
    """
    shown = centre(np.asarray(residual, np.float32), SHOWN_SIDE)
    with style.context("default"):
        figure = Figure(figsize=(12, 4.2), layout="constrained")
        panels = figure.subplots(1, 3)
        _grey(panels[0], shown, title)
        _grey(panels[1], centre(shown, ZOOM_SIDE), "its centre, enlarged")
        _draw_spectrum(panels[2], shown)
        panels[2].set_title("power spectrum, cycles a pixel", loc="left")
        for axes in panels[:2]:
            axes.set_axis_off()
    return figure


def plot_residuals(
    residuals: Mapping[str, NDArray[np.floating]], images: Sequence[NDArray[np.uint8]] = ()
) -> Figure:
    """Draw noise residuals or fingerprints beside each other, their power spectra below.

    Parameters
    ----------
    residuals : title to (H, W) float, grey levels, around 0
    images : (H, W) or (H, W, 3) uint8, to stand above the residuals; none, or one for each

    Returns
    -------
    matplotlib.figure.Figure
        Each as by `plot_residual`, with a contrast of its own.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(2, 64, 64))
    >>> len(plot_residuals({"one": noise[0], "another": noise[1]}).axes)
    4
    """
    rows = 3 if len(images) else 2
    with style.context("default"):
        figure = Figure(figsize=(2.9 * len(residuals), 2.9 * rows), layout="constrained")
        panels = figure.subplots(rows, len(residuals), squeeze=False)
        for axes in panels.ravel():
            axes.set_axis_off()
        for axes, image in zip(panels[0], images, strict=False):
            axes.imshow(image, cmap="gray")
        for axes, below, residual in zip(*panels[-2:], residuals.values(), strict=True):
            shown = centre(np.asarray(residual, np.float32), SHOWN_SIDE)
            _grey(axes, shown, "")
            _draw_spectrum(below, shown)
        for axes, title in zip(panels[0], residuals, strict=True):
            axes.set_title(title, loc="left", fontsize=10)
    return figure


def plot_distributions(
    groups: Mapping[str, ArrayLike],
    label: str = "PCE",
    threshold: float | None = None,
    square_root: bool = True,
) -> Figure:
    """Draw groups of PCEs, scores or margins as histograms, each as shares of its group.

    Parameters
    ----------
    groups : name to values; one that is empty is left out
    label : of the values
    threshold : to be marked, or None
    square_root : whether their axis has square-root spacing

    Examples
    --------
    >>> figure = plot_distributions({"same": [40, 60, 50], "other": [-1, 0, 2]}, threshold=12)
    >>> figure.axes[0].get_xlabel()
    'PCE (square-root spacing)'
    """
    placed = signed_root if square_root else np.asarray
    values = {name: placed(group).ravel() for name, group in groups.items() if np.size(group)}
    marks = [] if threshold is None else [float(placed(threshold))]
    drawn = np.concatenate([*values.values(), marks])
    edges = np.linspace(float(drawn.min()), float(drawn.max()) + 1e-9, 61)
    with style.context("default"):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axes = figure.subplots()
        for (name, group), colour in zip(values.items(), GROUPS, strict=False):
            weights = np.full(group.size, 100 / group.size)
            axes.hist(group, edges.tolist(), weights=weights, color=colour, alpha=0.6,
                      label=f"{name}, {group.size:,}")  # fmt: skip
        for mark in marks:
            axes.axvline(mark, color=PLAIN[INK], linewidth=1, linestyle=(0, (4, 3)),
                         label=f"threshold {threshold:,.1f}")  # fmt: skip
        _dress(axes, label, square_root)
        axes.set_ylabel("% of the group")
    return figure


def plot_fingerprint(fingerprint: Mapping[str, Any]) -> Figure:
    """Draw a fingerprint as `plot_residual` does.

    Parameters
    ----------
    fingerprint : row of `fingerprints` (docs/tables.md)
    """
    made = f"{fingerprint['fingerprint_id']}, {fingerprint['images']:,} images"
    return plot_residual(pixels_of(fingerprint), f"fingerprint {made}")


def plot_scores(run: Results, fingerprint: Mapping[str, Any]) -> Figure:
    """Draw the scores around a fingerprint: reference, images flagged for it, and others.

    Parameters
    ----------
    fingerprint : row of `fingerprints` of that run
    """
    flagged = run.table("verdicts", ("threshold",), _carrying(fingerprint))
    thresholds = flagged["threshold"].to_pylist() or [fingerprint["threshold"] or 0.0]
    with style.context("default"):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        draw_scores(figure.subplots(), run.scores(fingerprint), max(thresholds), None, PLAIN)
    return figure


def plot_surface(surface: NDArray[np.float32]) -> Figure:
    """Draw a correlation surface around its peak, beside the line of shifts through it.

    Parameters
    ----------
    surface : (H, W) float
        No shift at [H // 2, W // 2], as from `correlation_surface`.
    """
    with style.context("default"):
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
        _draw_surface(left, surface)
        line = surface[int(surface.argmax()) // surface.shape[1]]
        right.plot(np.arange(len(line)) - len(line) // 2, line, color=PLAIN[INK], linewidth=0.8)
        right.set(xlabel="shift to the right, pixels", ylabel="correlation, in its spread")
        right.spines[["top", "right"]].set_visible(False)
    return figure


def plot_explanation(explanation: Explanation) -> Figure:
    """Draw one image explained: image, residual, fingerprint, surface, scores, bands.

    Parameters
    ----------
    explanation : from `explain`

    Returns
    -------
    matplotlib.figure.Figure
        Panels that there is nothing for stay empty.
    """
    with style.context("default"):
        figure = Figure(figsize=(12, 7.2), layout="constrained")
        panels = figure.subplots(2, 3).ravel()
        for axes in panels:
            axes.set_axis_off()
        if explanation.pixels is not None:
            panels[0].imshow(explanation.pixels, cmap="gray")
            panels[0].set_title("image", loc="left")
        if explanation.residual is not None:
            _grey(panels[1], explanation.residual, "its noise residual")
        if (match := explanation.match) is None:
            return figure
        shown = panels[3:] if match.bands is not None else panels[3:5]
        for axes in shown:
            axes.set_axis_on()
        name = match.fingerprint["fingerprint_id"]
        _grey(panels[2], pixels_of(match.fingerprint), f"fingerprint {name}")
        _draw_surface(panels[3], match.surface)
        draw_scores(panels[4], match.scores, match.threshold, match.score, PLAIN)
        if match.bands is not None:
            _draw_bands(panels[5], match.bands)
    return figure


def around_peak(surface: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut a correlation surface around its peak, across its borders: at most (63, 63)."""
    middle = [
        slice(side // 2 - reach, side // 2 + reach + 1)
        for side in surface.shape
        for reach in [min(AROUND, (side - 1) // 2)]
    ]
    return peak_in_the_middle(surface)[tuple(middle)]


def score_edges(
    scores: Scores, threshold: float, own: float | None, bins: int
) -> NDArray[np.float64]:
    """Cut the range of all scores, as signed roots, into bins: (bins + 1,)."""
    marks = [threshold] if own is None else [threshold, own]
    parts = (scores.reference, scores.flagged, scores.others, marks)
    roots = signed_root(np.concatenate(parts))
    return np.linspace(float(roots.min()) - 0.5, float(roots.max()) + 0.5, bins + 1)


def draw_scores(
    axes: Axes, scores: Scores, threshold: float, own: float | None, colours: Mapping[str, str]
) -> None:
    """Draw the scores of reference, others and flagged as histograms.

    Parameters
    ----------
    own : score of an image to be marked, or None
    colours : by the names of `report.figures`, such as `PLAIN`
    """
    edges = score_edges(scores, threshold, own, 60)
    groups = [
        ("reference photographs", scores.reference, colours[MUTED]),
        ("tested, not flagged", scores.others, colours[QUIET]),
        ("tested, flagged", scores.flagged, colours[FLAG]),
    ]
    for name, values, colour in groups:
        if len(values):
            axes.hist(signed_root(values), edges.tolist(), color=colour, alpha=0.65,
                      label=f"{name}, {len(values):,}")  # fmt: skip
    bar = float(signed_root(threshold))
    axes.axvline(bar, color=colours[INK], linewidth=1, linestyle=(0, (4, 3)), label="threshold")
    if own is not None:
        colour = colours[FLAG if own > threshold else INK]
        axes.axvline(float(signed_root(own)), color=colour, linewidth=2.5, label="this image")
    # A bar of one image must be seen beside one of thousands.
    axes.set_yscale("function", functions=(np.sqrt, np.square))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_ylabel("images")
    _dress(axes, "score")


def _carrying(fingerprint: Mapping[str, Any]) -> ds.Expression:
    return ds.field("fingerprint_id") == fingerprint["fingerprint_id"]


def _dress(axes: Axes, label: str, square_root: bool = True) -> None:
    """Finish a histogram, of signed roots or of the values themselves."""
    if square_root:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda root, _: f"{root * abs(root):,.0f}"))
        label = f"{label} (square-root spacing)"
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))


def _grey(axes: Axes, pixels: NDArray[np.float32], title: str) -> None:
    shown = centre(pixels, SHOWN_SIDE)
    reach = 3 * float(shown.std()) or 1.0
    axes.imshow(shown, cmap="gray", vmin=-reach, vmax=reach)
    axes.set_title(title, loc="left")


def _draw_spectrum(axes: Axes, pixels: NDArray[np.float32]) -> None:
    decibel, low, high = spectrum_of(pixels)
    axes.imshow(decibel, cmap="gray", vmin=low, vmax=high, extent=(-0.5, 0.5, 0.5, -0.5))


def _draw_surface(axes: Axes, surface: NDArray[np.float32]) -> None:
    shown = around_peak(surface)
    x, y = peak_shift(surface)
    down, right = (side // 2 for side in shown.shape)
    axes.imshow(shown, cmap="gray", extent=(x - right, x + right, y + down, y - down))
    axes.set_title("correlation over shifts, around its peak", loc="left")


def _draw_bands(axes: Axes, bands: NDArray[np.float64]) -> None:
    table = bands.reshape(len(PLANES), -1)
    reach = float(abs(table).max()) or 1.0
    axes.imshow(table, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
    names = [*(f"{edge:.2f}" for edge in RINGS), "grid", "lines"]
    axes.set_xticks(range(len(names)), names, fontsize=8, rotation=60)
    axes.set_yticks(range(len(PLANES)), PLANES)
    axes.set_xlabel("frequency from, cycles a pixel")
    axes.set_title("what each band adds to the score", loc="left")
    for (plane, band), value in np.ndenumerate(table):
        if abs(value) >= 0.05 * reach:
            shade = "white" if abs(value) > 0.6 * reach else "black"
            axes.text(band, plane, f"{value:.1f}", ha="center", va="center", fontsize=7,
                      color=shade)  # fmt: skip
