"""Draw the pictures of docs/pictures.md, from simulated images alone: python docs/pictures.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from numpy.typing import NDArray

from noisescope_core.images.decode import decode
from noisescope_core.images.sketch import sketch
from noisescope_core.residual import channel_residuals, mixed
from noisescope_core.simulate import Kind, World, jpeg_file, simulated_image
from noisescope_core.whitened.detection.alignment import pattern_of
from noisescope_core.whitened.discovery.correlations import Correlations, arrange_distinct
from noisescope_core.whitened.discovery.growth import band_scores, combined
from noisescope_core.whitened.discovery.patterns import SharedPattern, discover
from noisescope_core.whitened.planes.bands import OFF_GRID, Layout, layout
from noisescope_core.whitened.planes.products import band_correlations
from noisescope_core.whitened.planes.whitening import half_spectrum, spatial, whitened_planes

OUT = Path(__file__).parent / "pictures"

WORLD = World(seed=7, cameras=4, generators=1, width=256, height=256)
COUNTS: dict[Kind, int] = {"photograph": 100, "generated": 60, "reference": 200}
"""Where the images come from, and how many of each kind; chosen."""

BINS = layout(WORLD.height, WORLD.width)
BOTH: tuple[Kind, Kind] = ("photograph", "generated")
PHOTOGRAPH, GENERATED, REFERENCE = "#5b7083", "#c8452f", "#a9b6c2"
"""Colours."""

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.edgecolor": "#8a97a3",
    "figure.facecolor": "white",
}

Pixels = NDArray[np.uint8]


def image(kind: Kind, index: int) -> Pixels:
    """Make an image and save it as JPEG, as `noisescope simulate` does: (H, W, 3) RGB."""
    file = jpeg_file(*simulated_image(WORLD, kind, index))
    pixels = decode(file).pixels
    assert pixels is not None
    return pixels


def main() -> None:
    """Draw them all."""
    OUT.mkdir(exist_ok=True)
    images = {kind: [image(kind, k) for k in range(n)] for kind, n in COUNTS.items()}
    residuals = {
        kind: [channel_residuals(pixels) for pixels in of_kind] for kind, of_kind in images.items()
    }
    tested = [*residuals["photograph"], *residuals["generated"]]
    features = [whitened_planes(channels) for channels in [*tested, *residuals["reference"]]]
    sketches = np.stack([sketch(pixels) for of_kind in images.values() for pixels in of_kind])
    products = band_correlations(features, features, BINS)
    correlations = arrange_distinct(products, sketches, len(tested), BINS.shares())
    (pattern,) = discover(correlations)
    with style.context(["default", STYLE]):
        draw_residuals(images, residuals)
        draw_means(residuals)
        draw_pairs(products)
        draw_fingerprint(features, pattern)
        draw_scores(correlations, pattern)
        draw_surfaces(features, pattern)


def save(figure: Figure, name: str) -> None:
    """Write a picture of some tens of kilobytes."""
    file = OUT / f"{name}.webp"
    figure.savefig(file, dpi=130, pil_kwargs={"quality": 75, "method": 6})
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


def show(axes: Any, pixels: NDArray[Any], title: str, most: float | None = None) -> None:
    """Show pixels, or with `most` what lies between it and its negative, in grey."""
    limits = {} if most is None else {"vmin": -most, "vmax": most, "cmap": "gray"}
    axes.imshow(pixels, interpolation="nearest", **limits)
    axes.set_title(title)
    axes.set(xticks=[], yticks=[])


def draw_residuals(images: dict[Kind, list[Pixels]], residuals: dict[Kind, list[Any]]) -> None:
    """An image and its noise residual: nothing to be seen in one alone."""
    figure = Figure(figsize=(8, 2.3), layout="constrained")
    panels = figure.subplots(1, 4)
    for k, kind in enumerate(BOTH):
        show(panels[2 * k], images[kind][5], ("a photograph", "a generated image")[k])
        show(panels[2 * k + 1], mixed(residuals[kind][5]), "its noise residual", 3)
    save(figure, "residuals")


def draw_means(residuals: dict[Kind, list[Any]]) -> None:
    """Means of residuals: what images share stays, what each has alone fades."""
    figure = Figure(figsize=(8, 4.3), layout="constrained")
    for row, kind in zip(figure.subplots(2, 4), BOTH, strict=True):
        greys = np.stack([mixed(channels) for channels in residuals[kind]])[:, 96:160, 96:160]
        for axes, count in zip(row, (1, 4, 15, 60), strict=True):
            mean = greys[:count].mean(0)
            show(axes, mean, f"mean of {count}" if count > 1 else "one", 2.5 * float(mean.std()))
        row[0].set_ylabel("photographs" if kind == "photograph" else "generated images")
    save(figure, "means")


def draw_pairs(products: NDArray[np.float32]) -> None:
    """Correlations of all pairs, and how they are distributed."""
    first, n = COUNTS["photograph"], COUNTS["photograph"] + COUNTS["generated"]
    whole = products[OFF_GRID][:, :n, :n].sum(0)
    spread = float(whole[:first, :first][np.triu_indices(first, 1)].std())
    whole /= spread
    np.fill_diagonal(whole, 0)
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.35))
    left.imshow(whole, cmap="gray_r", vmin=0, vmax=8)
    for middle, name in ((first / 2, "photographs"), ((first + n) / 2, "generated")):
        left.text(-4, middle, name, rotation=90, ha="right", va="center", fontsize=9)
        left.text(middle, -4, name, ha="center", va="bottom", fontsize=9)
    left.set(xticks=[], yticks=[])
    bins = np.arange(-5, 16, 0.5).tolist()
    for part, name, colour in (
        (whole[:first, :first], "two photographs", PHOTOGRAPH),
        (whole[first:, first:], "two generated images", GENERATED),
    ):
        pairs = part[np.triu_indices(len(part), 1)]
        right.hist(pairs, bins, density=True, alpha=0.75, label=name, color=colour)
    right.set(yticks=[], xlabel="correlation of a pair, spreads of photographs")
    tidy(right)
    save(figure, "pairs")


def draw_fingerprint(features: list[NDArray[np.float32]], pattern: SharedPattern) -> None:
    """The mean feature of the members, in space and by frequency, beside that of photographs."""
    members = pattern.members
    others = np.arange(len(members))
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    for row, rows, name in zip(
        figure.subplots(2, 4), (members, others), ("members", "as many photographs"), strict=True
    ):
        mean = np.mean([features[k] for k in rows], axis=0)
        for k, plane in enumerate(("grey", "R \N{MINUS SIGN} G")):
            show(row[2 * k], spatial(mean[k], BINS)[:96, :96], plane, 0.7)
            half = np.abs(half_spectrum(mean[k], BINS))
            power = np.fft.fftshift(np.hstack([half, np.roll(half[::-1, -2:0:-1], 1, 0)]))
            axes = row[2 * k + 1]
            axes.imshow(cv2.blur(power, (3, 3)), cmap="magma", vmin=0.05, vmax=0.5)
            axes.set_title(f"{plane}, by frequency")
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    save(figure, "fingerprint")


def draw_scores(correlations: Correlations, pattern: SharedPattern) -> None:
    """Scores against the fingerprint, the bar, and how sure a verdict is."""
    members = np.zeros(correlations.tested, bool)
    members[pattern.members] = True
    scores = band_scores(correlations.whole, members[:, None])
    z = pattern.bar.standardised(
        combined(scores, pattern.weights[:, None], pattern.centre[:, None])[:, 0]
    )
    groups = (
        (z[correlations.tested :], "reference", REFERENCE),
        (z[: COUNTS["photograph"]], "photographs tested", PHOTOGRAPH),
        (z[COUNTS["photograph"] : correlations.tested], "generated images tested", GENERATED),
    )
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.subplots()
    bins = np.linspace(z.min(), z.max(), 70).tolist()
    for values, name, colour in groups:
        axes.hist(values, bins, alpha=0.75, label=name, color=colour)
    axes.axvline(pattern.bar.threshold, color="black", linestyle="--", linewidth=1)
    axes.annotate("bar", (pattern.bar.threshold, 1), xycoords=("data", "axes fraction"),
                  xytext=(4, -10), textcoords="offset points")  # fmt: skip
    axes.set(xlabel="score against the fingerprint, spreads of the reference", ylabel="images")
    sure = axes.twinx()
    grid = np.linspace(z.min(), z.max(), 400)
    sure.plot(grid, pattern.bar.confidence(grid), color="black", linewidth=1)
    sure.set(ylabel="confidence (line)", ylim=(0, 1.05))
    sure.spines[["top"]].set_visible(False)
    tidy(axes, "center")
    save(figure, "scores")


def draw_surfaces(features: list[NDArray[np.float32]], pattern: SharedPattern) -> None:
    """Correlation with the fingerprint at all shifts: of a member, a crop of one, a photograph."""
    member = int(pattern.members[3])
    others = [features[k] for k in pattern.members if k != member]
    fingerprint = pattern_of(
        "", (WORLD.width, WORLD.height), np.mean(others, 0), pattern.weights, 512
    )
    cropped = image("generated", member - COUNTS["photograph"])[64:, 40:]
    crop = whitened_planes(channel_residuals(np.ascontiguousarray(cropped)))
    figure = Figure(figsize=(8, 2.7), layout="constrained")
    for axes, feature, name in zip(
        figure.subplots(1, 3, subplot_kw={"projection": "3d"}),
        (features[member], crop, features[0]),
        ("a generated image", "a crop of it, 40 and 64 pixels in", "a photograph"),
        strict=True,
    ):
        bins = layout(*cropped.shape[:2]) if feature is crop else BINS
        planes = np.where(off_grid(bins), feature, 0)
        pixels = np.stack([spatial(plane, bins) for plane in planes])
        spectra = np.conj(np.fft.rfft2(pixels, s=BINS.shape)) * np.fft.rfft2(fingerprint.pixels)
        surface = np.fft.fftshift(np.fft.irfft2(spectra.sum(0)))
        surface /= surface.std()
        # The highest of every 4 x 4 shifts: a peak is one pixel wide.
        coarse = surface.reshape(64, 4, 64, 4).max((1, 3))
        y, x = np.mgrid[-128:128:4, -128:128:4]
        axes.plot_surface(x, y, coarse, cmap="viridis", vmin=0, vmax=14, rstride=1, cstride=1)
        axes.set_title(name)
        axes.set(zlim=(0, 30), xticks=[-100, 0, 100], yticks=[-100, 0, 100], zticks=[0, 10, 20, 30])
        axes.tick_params(labelsize=7, pad=-3)
    save(figure, "surfaces")


def off_grid(bins: Layout) -> NDArray[np.bool_]:
    """Say which values of a feature lie neither on the grid nor on lines: (3, V)."""
    kept = np.zeros((3, bins.values), bool)
    for (plane, part), off in zip(bins.slices(), OFF_GRID, strict=True):
        kept[plane, part] = off
    return kept


def tidy(axes: Any, place: str = "upper right") -> None:
    """Take away lines that say nothing, and put the legend in its place."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc=place)


if __name__ == "__main__":
    main()
