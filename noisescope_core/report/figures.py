"""Pictures of the report: scores and agreement as SVG, fingerprints as PNG."""

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

# Drawn with stand-in colours, so that the page's style sheet decides the real ones
# and the figure follows light, dark and print.
COLOURS = {
    "#000001": "var(--ink)",
    "#000002": "var(--muted)",
    "#000003": "var(--line)",
    "#000004": "var(--quiet)",
    "#000005": "var(--flag)",
}
INK, MUTED, LINE, QUIET, FLAG = COLOURS

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "noisescope",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
}

Panel = tuple[str, ArrayLike, ArrayLike | None]
"""Name, scores (n,), and how many images have each (n,), None for one."""

WIDTH = 6.2
"""Inches at 72 pixels: the whole fits a phone with its text still readable."""

LARGEST_SIDE = 384
"""Pixels a side of a fingerprint's picture; chosen: three beside each other fill the page."""

ZOOM_SIDE = 64
"""Pixels a side of its detail, which the page enlarges four times; chosen: single pixels are seen
then."""

REPEATS = 4
"""Times that a tile is shown each way; chosen: as large as the detail of a fingerprint."""

BINS = 72
"""Bars over the range of scores; chosen: as many as `WIDTH` shows apart."""

LARGEST_SHARE = 0.995
"""Share of the images that the range of scores holds at least; those beyond it are counted in the
last bar. Chosen: a few near-duplicates score tens of thousands."""

THRESHOLDS = 6
"""Signed roots of thresholds that the range reaches to where scores do; chosen: the few fakes of a
large pile must not be cut off as if they were near-duplicates."""

HAIRLINE = 0.015
"""Height of the lowest bar, as a share of the highest; chosen: one image in a million would
vanish."""


def signed_root(scores: ArrayLike) -> NDArray[np.float64]:
    """Signed square root of scores.

    PCE is a squared correlation with the sign kept, so its signed root is proportional to the
    correlation itself: unrelated images form a bell around 0 instead of a spike.

    Parameters
    ----------
    scores : array_like of float
        PCE, any shape, unbounded.

    Returns
    -------
    ndarray of float64, same shape
    """
    values = np.asarray(scores, dtype=np.float64)
    return np.sign(values) * np.sqrt(np.abs(values))


def score_figure(panels: Sequence[Panel], threshold: float | None) -> str:
    """Distributions of scores above each other, on one scale.

    Parameters
    ----------
    panels : sequence of Panel
        From top to bottom; scores that are not finite are left out.
    threshold : float or None
        Score above which an image carries the fingerprint; None where none was found.

    Returns
    -------
    str
        An ``<svg>`` element without identifiers that could clash within a page, or "" when
        there is not one finite score to draw.
    """
    groups = [_group(*panel) for panel in panels]
    if not sum(group.scores.size for group in groups):
        return ""
    bins = _bins(groups, threshold)
    # From the defaults, or a notebook's own style would show in the page.
    with style.context(["default", STYLE]):
        tall = 0.67 + 1.45 * len(panels)
        figure = Figure(figsize=(WIDTH, tall))
        subplots = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        figure.subplots_adjust(
            left=0.1, right=0.98, top=1 - 0.55 / tall, bottom=0.53 / tall, hspace=0.55
        )
        for axes, group in zip(subplots, groups, strict=True):
            _draw_bars(axes, group, bins, threshold)
            _draw_titles(axes, group, threshold)
            if threshold is not None:
                axes.axvline(bins.threshold, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        _draw_score_axis(subplots[-1], bins)
        subplots[0].set_xlim(bins.edges[0], bins.edges[-1])
        if threshold is not None:
            subplots[0].annotate(
                f"threshold {threshold:,.1f}", (bins.threshold, 1), (0, 22), ha="center",
                xycoords=("data", "axes fraction"), textcoords="offset points")  # fmt: skip
        return inline_svg(figure)


@dataclass(frozen=True)
class _Group:
    """The scores of one panel that are finite.

    Attributes
    ----------
    name : title of the panel
    scores, roots : (n,) float64, PCE and their signed roots
    counts : (n,) int64, images that have each
    """

    name: str
    scores: NDArray[np.float64]
    roots: NDArray[np.float64]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class _Bins:
    """Where the bars of a figure stand, in signed roots of scores.

    Attributes
    ----------
    edges : (bars + 1,) float64, one of them on the threshold
    step : width of a bar
    threshold : its signed root, 0 where there is none
    """

    edges: NDArray[np.float64]
    step: float
    threshold: float


def _group(name: str, scores: ArrayLike, counts: ArrayLike | None) -> _Group:
    values = np.asarray(scores, dtype=np.float64)
    times = np.ones(values.shape, np.int64) if counts is None else np.asarray(counts, np.int64)
    finite = np.isfinite(values)
    return _Group(name, values[finite], signed_root(values[finite]), times[finite])


def _bins(groups: Sequence[_Group], threshold: float | None) -> _Bins:
    roots = np.concatenate([group.roots for group in groups])
    counts = np.concatenate([group.counts for group in groups])
    bar = 0.0 if threshold is None else float(signed_root(threshold))
    high = min(float(roots.max()), max(_quantile(roots, counts, LARGEST_SHARE), THRESHOLDS * bar))
    high = max(high, bar + 2)
    low = min(max(float(roots.min()), -high), bar - 1, -1)
    # An edge stands on the threshold: no bar holds both verdicts.
    step = (high - low) / BINS
    edges = bar + step * np.arange(np.floor((low - bar) / step), np.ceil((high - bar) / step) + 1)
    return _Bins(edges, step, bar)


def _draw_bars(axes: Axes, group: _Group, bins: _Bins, threshold: float | None) -> None:
    edges, step = bins.edges, bins.step
    inside = np.clip(group.roots, edges[0], edges[-1])
    held, _ = np.histogram(inside, edges, weights=group.counts)
    top = max(int(held.max()), 1)
    heights = np.where(held > 0, np.maximum(held, HAIRLINE * top), 0.0)
    above = edges[:-1] >= bins.threshold - step / 2 if threshold is not None else heights < 0
    colours = np.where(above, FLAG, QUIET)
    kept = heights > 0
    axes.bar(
        edges[:-1][kept], heights[kept], width=step * 0.86, align="edge",
        color=colours[kept].tolist(),
    )  # fmt: skip
    axes.set(ylim=(0, top * 1.06), yticks=[0, top], yticklabels=["0", f"{top:,}"])
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.tick_params(length=0)


def _draw_titles(axes: Axes, group: _Group, threshold: float | None) -> None:
    """Write the panel's name, and how many of its images are above the threshold."""
    axes.set_title(group.name, loc="left", fontsize=10.5, fontweight="bold")
    if threshold is not None and group.scores.size:
        above = int(group.counts[group.scores > threshold].sum())
        images = int(group.counts.sum())
        axes.set_title(
            f"{above:,} of {images:,} above ({above / images:.1%})",
            loc="right", fontsize=10, color=FLAG if above else MUTED)  # fmt: skip


def _draw_score_axis(axes: Axes, bins: _Bins) -> None:
    ticks = _score_ticks(bins.edges[0], bins.edges[-1])
    labels = [f"{tick:,}".replace("-", "\N{MINUS SIGN}") for tick in ticks]
    axes.set_xticks(signed_root(ticks).tolist(), labels)
    axes.set_xlabel("score (square-root spacing)")


def _quantile(values: NDArray[np.float64], counts: NDArray[np.int64], share: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(counts[order])
    return float(values[order][np.searchsorted(reached, share * reached[-1])])


def cohesion_figure(cohesion: float, repeats: Sequence[float]) -> str:
    """How much a set agrees, against chance and against sets found with drawn signs.

    Parameters
    ----------
    cohesion : float
        Agreement of the set, times what chance allows.
    repeats : sequence of float
        The same of the best sets of the repeats; may be empty.

    Returns
    -------
    str
        An ``<svg>`` element, as `score_figure` makes it.
    """
    values = np.array([cohesion, *repeats], np.float64)
    if not np.isfinite(values).all():
        return ""
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(WIDTH, 1.25))
        axes = figure.subplots()
        figure.subplots_adjust(left=0.02, right=0.98, top=0.66, bottom=0.4)
        axes.spines[["top", "left", "right"]].set_visible(False)
        axes.tick_params(length=3)
        # Below nothing is nothing; a root keeps both a weak set and a strong one readable.
        places = np.sqrt(np.maximum(values, 0))
        high = max(float(places.max()), 1) * 1.08
        axes.set(xlim=(-0.02 * high, high), ylim=(-1, 1), yticks=[])
        axes.axvline(1, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot(places[1:], np.zeros(len(repeats)), "o", color=QUIET, markersize=8)
        axes.plot(places[:1], [0], "o", color=FLAG, markersize=11)
        axes.annotate("chance", (1, 1), (0, 5), ha="center", color=INK,
                      xycoords=("data", "axes fraction"), textcoords="offset points")  # fmt: skip
        ticks = _score_ticks(0, high)
        axes.set_xticks(signed_root(ticks).tolist(), [f"{tick:,}" for tick in ticks])
        axes.set_xlabel("agreement, times what chance allows (square-root spacing)")
        return inline_svg(figure)


def inline_svg(figure: Figure) -> str:
    """Draw a figure as an ``<svg>`` element that stands in a page."""
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True,
                   metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))  # fmt: skip
    return _inline(text.getvalue())


def _score_ticks(low: float, high: float) -> list[int]:
    """Round scores between two signed roots, none closer to the last than its label is wide."""
    chosen = [0]
    for sign, end in ((1, high), (-1, -low)):
        last = 0.0
        for score in (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000):
            if last + 0.08 * (high - low) < score**0.5 < end:
                chosen.append(sign * score)
                last = score**0.5
    return sorted(chosen)


def _inline(svg: str) -> str:
    """Bare ``<svg>`` for an HTML page: no prologue, own style, namespaces, group ids or size."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    for colour, variable in COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg


def data_uri(data: bytes, kind: str) -> str:
    """``data:`` address of an image of the given MIME type."""
    return f"data:{kind};base64,{b64encode(data).decode('ascii')}"


def centre(pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The middle of an (H, W) array, at most ``side`` x ``side``."""
    top, left = (max(0, (length - side) // 2) for length in pixels.shape)
    return pixels[top : top + side, left : left + side]


def shrunk(pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The whole of an (H, W) array, scaled to at most ``side`` x ``side``."""
    scale = min(1.0, side / max(pixels.shape))
    return np.asarray(
        cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.float32
    )


def grey_png(values: NDArray[np.floating], low: float, high: float) -> str:
    """8-bit greyscale PNG of an (H, W) array as a ``data:`` address; low is black, high white."""
    span = high - low
    scaled = (values - low) / span if span > 0 else np.full(values.shape, 0.5)
    grey = np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    return data_uri(cv2.imencode(".png", grey)[1].tobytes(), "image/png")


def pixels_of(fingerprint: Mapping[str, Any]) -> NDArray[np.float32]:
    """Read the picture of a fingerprint, a row of ``fingerprints``: (H, W) float32.

    The tile of a lattice comes `REPEATS` times each way, as it lies in its images.
    """
    shape = fingerprint["height"], fingerprint["width"]
    pixels = np.frombuffer(fingerprint["pixels"], np.float32).reshape(shape)
    return np.tile(pixels, (REPEATS, REPEATS)) if fingerprint.get("kind") == "lattice" else pixels


def spectrum_of(pixels: NDArray[np.float32]) -> tuple[NDArray[np.floating], float, float]:
    """Logarithm of the power spectrum of an (H, W) array, zero frequency in the middle.

    Returns
    -------
    Its values, and those that are shown black and white.
    """
    power = np.abs(np.fft.fftshift(np.fft.fft2(pixels - pixels.mean()))) ** 2
    # DC was taken out; its logarithm must not set the contrast.
    decibel = np.log10(power + max(1e-6 * float(power.mean()), 1e-30))
    low, high = np.quantile(decibel, [0.02, 0.9995])
    return decibel, float(low), float(high)


def fingerprint_pictures(pixels: NDArray[np.float32]) -> dict[str, str]:
    """Three views of a fingerprint, none of them scaled.

    Parameters
    ----------
    pixels : ndarray of float32, shape (H, W)
        Mean noise residual, grey levels, around 0.

    Returns
    -------
    dict of str to str
        PNGs as ``data:`` addresses. ``residual``: the central 384 x 384 or less, mid-grey is 0,
        black and white are 3 standard deviations. ``spectrum``: logarithm of its power spectrum,
        zero frequency in the middle. ``zoom``: the central 64 x 64 or less, same contrast.
    """
    # Scaling down would average the pattern away; cropping keeps it.
    residual = np.nan_to_num(centre(pixels, LARGEST_SIDE))
    reach = 3 * float(residual.std())
    return {
        "residual": grey_png(residual, -reach, reach),
        "spectrum": grey_png(*spectrum_of(residual)),
        "zoom": grey_png(centre(residual, ZOOM_SIDE), -reach, reach),
    }
