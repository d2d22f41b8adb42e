"""Tables and plots of an experiment, drawn from its table of trials alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0b6e99", "#c8553d", "#588157", "#8a5a9e", "#b8860b", "#555555")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "noisescope", "font.size": 9,
    "font.sans-serif": ["DejaVu Sans"], "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": "#dddddd", "axes.axisbelow": True,
}  # fmt: skip
COLUMNS, BESIDE = 4, 6
"""Panels beside each other, of attacks and of fingerprints; chosen: a page is as wide."""

PLACES = ["trial_number", "condition_number", "method_number"]
"""Columns that say where in the file a row's trial, condition and method stand."""

LINE = ["trial_number", "files", "attack", "strength"]
"""Columns of which one line of the printed table has the same values."""

WHAT = ["trial", "files", "attack", "strength", "defence", "method"]
"""Columns that name what a row is of."""

CELLS = (
    "F1 (standard deviation), photographs flagged: means of the draws. An asterisk: a shared "
    "pattern was found, but taken for a device's or processing's, which flags nothing."
)

PILES = (
    "Piles of native sizes: recall of each generator; photographs flagged; purity of fingerprints "
    "(share of a fingerprint's images that are of one generator); share of the generators that "
    "have a fingerprint; area under the curve; recall where 5 and where 1 in a thousand "
    "photographs pass; images of which nothing is said."
)

FOUND = "Fingerprints found, and the share of images found that are given to their maker:"

DEFENCES = {
    "reference": "reference processed alike",
    "blur": "blur's residual",
    "nlm": "non-local means' residual",
}


def summarised(table: pa.Table) -> pd.DataFrame:
    """Sum the draws up: a row per trial, condition and method, in the order of the file.

    Returns
    -------
    DataFrame
        `WHAT` and `side`, `draws`, means over them (`f1`, `precision`, `recall`, `fp`,
        `fingerprints`, `given_right`, `other`, `seconds`, `psnr`, `ssim`), `sd` of F1 (of the
        population), `undecided` draws, `flag` (runs that flag a photograph), `generators`,
        `generated`, `published`.
    """
    rows = table.drop_columns(["pictures"]).to_pandas()
    groups = rows.groupby([*PLACES, *WHAT, "side"], dropna=False, sort=True)
    means = ("f1", "precision", "recall", "fp", "fingerprints", "given_right", "other", "seconds")
    summed = groups.agg(
        draws=("f1", "size"),
        sd=("f1", lambda values: values.std(ddof=0)),
        undecided=("undecided", "sum"),
        flag=("fp", lambda values: int((values > 0).sum())),
        generators=("generators", "first"),
        generated=("generated", "first"),
        published=("published", "first"),
        **{name: (name, "mean") for name in (*means, "psnr", "ssim")},
    )
    return pd.DataFrame(summed.reset_index())


def markdown(table: pa.Table) -> str:
    """Write the means as one table: a line per trial and attack, a column per method and defence.

    A cell is F1, its standard deviation in brackets, and the photographs flagged; without
    generated images, how many runs flag any. Several generators in one set have a second table:
    how many fingerprints come out, and whether images found are given to their makers.
    """
    summed = summarised(table)
    several = summed[(summed["generators"] > 1) & summed["method"].isin(_telling_apart(table))]
    parts = [_lines(summed, _f1_cell)]
    if len(several):
        parts += ["", FOUND, "", _lines(several.assign(published=None), _fingerprints_cell)]
    for _, trial in table.to_pandas().groupby("trial_number"):
        if trial["side"].isna().all() and trial["generators"].iloc[0]:
            parts += ["", PILES, "", _pile_lines(trial)]
    return "\n".join(parts)


def _pile_lines(rows: pd.DataFrame) -> str:
    """Write the means of one trial of native sizes: a line per condition and method."""
    sources = list(rows["sources"].iloc[0])
    measures = {
        "photographs flagged": ("fp", 1),
        "purity": ("purity", 3),
        "discovered": ("discovered", 2),
        "AUC": ("auc", 3),
        "recall at 0.5 %": ("recall_5", 2),
        "at 0.1 %": ("recall_1", 2),
        "unscored": ("unscored", 1),
    }
    lines = [["files", "attack", "method", *sources, *measures]]
    lines.append(["---"] * len(lines[0]))
    for _, group in rows.groupby([*PLACES, "defence"], sort=True):
        first = group.iloc[0]
        recalls = np.mean(np.stack(group["recalls"].to_list()), axis=0)
        lines.append(
            [
                first["files"],
                attack_of(first),
                _way(first["method"], first["defence"], [(first["method"], "none")]),
                *(f"{recall:.2f}" for recall in recalls),
                *(_mean(group[name], digits) for name, digits in measures.values()),
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _mean(values: pd.Series, digits: int) -> str:
    """Write the mean of what is known, and its standard deviation."""
    known = values.dropna().astype(float)
    if not len(known):
        return ""
    return f"{known.mean():.{digits}f} ({known.std(ddof=0):.{digits}f})"


def _telling_apart(table: pa.Table) -> set[str]:
    """Name the methods that tell fingerprints apart, which alone leave pictures of them."""
    chosen = table.filter(pc.greater(pc.list_value_length(table["pictures"]), 0))
    return set(chosen["method"].to_pylist())


def _lines(summed: pd.DataFrame, cell: Callable[[pd.Series], str]) -> str:
    ways = _ways(summed)
    first_columns = {"trial": "trial"}
    if summed["files"].nunique() > 1:
        first_columns["files"] = "files"
    if summed["attack"].notna().any():
        first_columns |= {"attack": "attack", "cost": "PSNR, SSIM"}
    columns = [*first_columns.values(), *(_way(*way, ways) for way in ways)]
    if summed["published"].notna().any():
        columns.append("published, of other images")
    lines = [columns, ["---"] * len(columns)]
    for _, group in summed.groupby(LINE, dropna=False, sort=False):
        first = group.iloc[0]
        cells = {
            "trial": first["trial"],
            "files": first["files"],
            "attack": attack_of(first),
            "cost": f"{first['psnr']:.1f} dB, {first['ssim']:.3f}" * bool(pd.notna(first["psnr"])),
        }
        by_way = {(row["method"], row["defence"]): cell(row) for _, row in group.iterrows()}
        line = [*(cells[name] for name in first_columns), *(by_way.get(way, "") for way in ways)]
        lines.append(line if len(line) == len(columns) else [*line, first["published"] or ""])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


Way = tuple[str, str]
"""Method and defence."""


def _ways(summed: pd.DataFrame) -> list[Way]:
    return list(dict.fromkeys(zip(summed["method"], summed["defence"], strict=True)))


def _way(method: str, defence: str, ways: Sequence[Way]) -> str:
    alone = len({other for _, other in ways}) == 1
    return method if alone or defence == "none" else f"{method}, {DEFENCES[defence]}"


def attack_of(row: pd.Series) -> str:
    """Name a row's attack and strength."""
    return "none" if pd.isna(row["attack"]) else f"{row['attack']} {row['strength']:g}"


def _f1_cell(row: pd.Series) -> str:
    if row["undecided"] == row["draws"]:
        return "undecided"
    if not row["generated"]:
        return f"{row['flag']} of {row['draws']} runs flag"
    mark = " \\*" if taken_for_another(row) else ""
    return f"{row['f1']:.3f} ({row['sd']:.3f}), {row['fp']:.1f}{mark}"


def taken_for_another(row: pd.Series) -> bool:
    """Say whether a generator's pattern was probably found and taken for another maker's."""
    return bool(row["other"] >= 0.5 and row["fingerprints"] < row["generators"])


def _fingerprints_cell(row: pd.Series) -> str:
    return f"{row['fingerprints']:.1f}, {row['given_right']:.2f}"


def plots(table: pa.Table) -> Iterator[tuple[str, Figure]]:
    """Draw what the table holds.

    Yields
    ------
    Name and figure: `f1` over the trials, `attacks N` for trial number N, and `fingerprints`,
    the mean residuals of what was flagged in the first draw, where nothing is attacked.
    """
    summed = summarised(table)
    summed = summed[(summed["generated"] > 0) & (summed["undecided"] < summed["draws"])]
    plain = summed[summed["attack"].isna()]
    with style.context(["default", STYLE]):
        if plain.groupby(["trial_number", "files"]).ngroups > 1:
            yield "f1", _over_trials(plain)
        attacked = summed[summed["attack"].notna()]
        for number, trial in enumerate(dict.fromkeys(attacked["trial"]), 1):
            group, base = (part[part["trial"] == trial] for part in (attacked, plain))
            yield f"attacks {number}", _over_strengths(group, base)
        pictures = [row for row in table.to_pylist() if row["pictures"] and row["attack"] is None]
        if pictures and not len(attacked):
            yield "fingerprints", _pictures(pictures)


def _over_trials(summed: pd.DataFrame) -> Figure:
    ways, kinds = _ways(summed), list(dict.fromkeys(summed["files"]))
    trials = list(dict.fromkeys(summed["trial"]))
    figure = Figure(figsize=(9, 1 + 0.5 * len(trials) * len(kinds)), layout="constrained")
    panels = figure.subplots(len(kinds), 1, squeeze=False, sharex=True)[:, 0]
    for axes, kind in zip(panels, kinds, strict=True):
        for number, way in enumerate(ways):
            chosen = _of(summed[summed["files"] == kind], way)
            place = [trials.index(name) + 0.12 * number for name in chosen["trial"]]
            axes.errorbar(
                chosen["f1"], place, xerr=chosen["sd"], fmt="o", markersize=5, capsize=2,
                color=COLOURS[number % len(COLOURS)], label=_way(*way, ways),
            )  # fmt: skip
        axes.set_yticks(range(len(trials)), trials)
        axes.invert_yaxis()
        axes.set(xlim=(-0.02, 1.02), title=kind if len(kinds) > 1 else "")
    panels[-1].set_xlabel("F1, mean and standard deviation over the draws")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=6)
    return figure


def _over_strengths(summed: pd.DataFrame, base: pd.DataFrame) -> Figure:
    ways, attacks = _ways(summed), list(dict.fromkeys(summed["attack"]))
    columns = min(COLUMNS, len(attacks))
    rows = -(-len(attacks) // columns)
    figure = Figure(figsize=(2.75 * max(2, columns), 0.8 + 1.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, name in zip(panels, attacks, strict=False):
        chosen = summed[summed["attack"] == name]
        strengths = list(dict.fromkeys(chosen["strength"]))
        for number, way in enumerate(ways):
            _line(
                axes, _of(base, way), _of(chosen, way), strengths,
                label=_way(*way, ways), color=COLOURS[number % len(COLOURS)],
            )  # fmt: skip
        ticks = ["none", *(f"{strength:g}" for strength in strengths)]
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set(ylim=(-0.04, 1.04), title=name)
    for axes in panels[len(attacks) :]:
        axes.set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.suptitle(f"F1 under attacks: {summed['trial'].iloc[0]}", fontsize=10)
    return figure


def _line(
    axes: Axes, base: pd.DataFrame, chosen: pd.DataFrame, strengths: list[float], **look: Any
) -> None:
    """Draw F1 over the strengths of an attack, without it at place 0."""
    places = [1 + strengths.index(strength) for strength in chosen["strength"]]
    values = [*base["f1"].head(1), *chosen["f1"]]
    unattacked = [0] * min(len(base), 1)
    axes.plot([*unattacked, *places], values, marker="o", markersize=3, **look)


def _pictures(rows: Sequence[dict[str, Any]]) -> Figure:
    """Show what the first method that found anything found, by trial and kind of files."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: [row[place] for place in PLACES]):
        lines.setdefault((row["trial"], row["files"]), row)
    pictures = [(row, picture) for row in lines.values() for picture in row["pictures"]]
    rows_of_panels = -(-len(pictures) // BESIDE)
    figure = Figure(figsize=(1.8 * BESIDE, 2.1 * rows_of_panels), layout="constrained")
    panels = figure.subplots(rows_of_panels, BESIDE, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, (row, picture) in zip(panels, pictures, strict=False):
        pixels = np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), 0))
        axes.imshow(pixels, cmap="gray", interpolation="nearest")
        axes.set_title(f"{row['trial']}\n{row['files']}, {row['method']}", fontsize=7)
    return figure


def _of(summed: pd.DataFrame, way: Way) -> pd.DataFrame:
    return summed[(summed["method"] == way[0]) & (summed["defence"] == way[1])]


def write_plots(table: pa.Table, folder: Path, before: str = "") -> Iterator[Path]:
    """Write the plots as PNG, their names after `before`."""
    for name, figure in plots(table):
        file = folder / "-".join(filter(None, [before, *name.split()]))
        figure.savefig(file.with_suffix(".png"), dpi=110, metadata={"Software": None})
        yield file.with_suffix(".png")


def write_summary(table: pa.Table, out: Path) -> list[Path]:
    """Write `summary.md` and the plots it shows beside the table of trials."""
    title = table["experiment"][0].as_py()
    written = list(write_plots(table, out))
    page = [f"# {title}", "", CELLS, "", markdown(table)]
    for file in written:
        page += ["", f"![{file.stem}]({file.name})"]
    (out / "summary.md").write_text("\n".join(page) + "\n", encoding="utf-8")
    return [out / "summary.md", *written]
