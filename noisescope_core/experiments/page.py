"""One page of several experiments: what holds, what does not, what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from noisescope_core.experiments.summary import (
    CELLS,
    DEFENCES,
    LINE,
    attack_of,
    markdown,
    summarised,
    taken_for_another,
    write_plots,
)

HOLDS = 0.9
"""F1 from which a method is said to hold; chosen."""

WON_BACK = 0.05
"""F1 by which a defence must be better to be worth naming; chosen."""


def write_page(tables: Sequence[pa.Table], file: Path, command: str) -> None:
    """Write the page, and its pictures in a folder of its name beside it.

    Parameters
    ----------
    tables : of experiments, in the order of the page
    file : Markdown
    command : that makes the page again
    """
    pictures = file.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    page = [
        "# Results of the experiments",
        "",
        f"Written by `{command}` from the tables of trials alone, {_made(tables)}. {CELLS}",
        f"A method is said to hold where its F1 is {HOLDS:g} or more.",
    ]
    sections: list[str] = []
    for table in tables:
        title, about = (table[name][0].as_py() for name in ("experiment", "about"))
        page += ["", f"**{title}.** " + " ".join(_findings(table))]
        sections += ["", f"## {title}", "", about, "", markdown(table)]
        name = "-".join(title.lower().split())
        for plot in write_plots(table, pictures, name):
            sections += ["", f"![{title}]({pictures.name}/{plot.name})"]
    file.write_text("\n".join([*page, *sections]) + "\n", encoding="utf-8")


def _made(tables: Sequence[pa.Table]) -> str:
    whole = pa.concat_tables(tables)
    versions = {
        f"{package} {number}"
        for cell in set(whole["versions"].to_pylist())
        for package, number in json.loads(cell).items()
    }
    days = sorted({f"{time:%Y-%m-%d}" for time in whole["finished"].to_pylist()})
    return f"{' to '.join(dict.fromkeys((days[0], days[-1])))}, {', '.join(sorted(versions))}"


def _findings(table: pa.Table) -> Iterator[str]:
    """Say in words what the first method of the file does."""
    summed = summarised(table)
    method = summed.sort_values("method_number")["method"].iloc[0]
    mine = summed[summed["method"] == method]
    plain = mine[(mine["defence"] == "none") & (mine["generated"] > 0)]
    decided = plain[plain["undecided"] < plain["draws"]]
    weak = decided[decided["f1"] < HOLDS]
    if len(plain):
        yield f"`{method}` holds in {len(decided) - len(weak)} of {len(plain)} lines."
    if len(plain) > len(decided):
        names = ", ".join(_named(row) for _, row in plain.drop(decided.index).iterrows())
        yield f"Too few images to decide: {names}; more are needed."
    yield from _against(summed, method)
    yield from _losses(mine, weak)
    alone = mine[(mine["generated"] == 0) & (mine["defence"] == "none")]
    if len(alone):
        runs, flag = int(alone["draws"].sum()), int(alone["flag"].sum())
        yield f"Of photographs alone it flags some in {flag} of {runs} runs."


def _losses(mine: pd.DataFrame, weak: pd.DataFrame) -> Iterator[str]:
    """Say where a method does not hold, and which defence wins something back.

    Parameters
    ----------
    mine : lines of the method
    weak : those of them where it does not hold
    """
    lost: dict[str, list[str]] = {}
    for _, row in weak.iterrows():
        best = _defended(mine, row)
        if best is not None and best["f1"] >= row["f1"] + WON_BACK:
            yield (
                f"{_named(row)} falls to {row['f1']:.2f}; {DEFENCES[best['defence']]} wins back "
                f"{best['f1']:.2f}."
            )
        else:
            condition = _named(row).removeprefix(row["trial"]).lstrip(", ") or "as it is"
            lost.setdefault(row["trial"], []).append(f"{condition} ({row['f1']:.2f})")
    if lost:
        names = "; ".join(f"{trial}: {', '.join(conditions)}" for trial, conditions in lost.items())
        yield f"It does not hold, and nothing tried here helps, for {names}."
    mistaken = int(weak.apply(taken_for_another, axis=1).sum()) if len(weak) else 0
    if mistaken:
        yield (
            f"In {mistaken} of the {len(weak)} lines where it does not hold a shared pattern is "
            "found and reported, but taken for a device's or processing's, so it flags nothing: "
            "look at such patterns too."
        )


def _against(summed: pd.DataFrame, method: str) -> Iterator[str]:
    """Say how often another method is better."""
    plain = summed[(summed["generated"] > 0) & (summed["defence"] == "none")]
    if plain["method"].nunique() == 1:
        return
    best = plain.loc[plain.groupby(LINE, dropna=False)["f1"].idxmax()]
    better = best[best["method"] != method]
    if len(better) == 0:
        yield "No other method is better in any line."
    else:
        names = "; ".join(f"{row['method']} at {_named(row)}" for _, row in better.iterrows())
        yield f"Another is better in {len(better)} of {len(best)}: {names}."


def _defended(mine: pd.DataFrame, row: pd.Series) -> pd.Series | None:
    """Find the best line of the same trial and attack with a defence."""
    same = mine[
        (mine["trial"] == row["trial"]) & (mine["files"] == row["files"])
        & mine["attack"].eq(row["attack"]) & mine["strength"].eq(row["strength"])
        & (mine["defence"] != "none")
    ]  # fmt: skip
    return same.loc[same["f1"].idxmax()] if len(same) else None


def _named(row: pd.Series) -> str:
    attack = "" if pd.isna(row["attack"]) else f", {attack_of(row)}"
    files = "" if row["files"] == "saved again" else ", as found"
    return f"{row['trial']}{attack}{files}"
