"""Every notebook is valid in Databricks' source format, and runs as it is.

The one of scheduled scans needs Delta: it runs in tests/spark/test_connect.py.
"""

import ast
import re
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from matplotlib.figure import Figure

from noisescope_core import api

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))

HEADER, SEPARATOR, MAGIC = "# Databricks notebook source", "# COMMAND ----------", "# MAGIC"


def cells(notebook):
    first, _, rest = notebook.read_text(encoding="utf-8").partition("\n")
    assert first == HEADER
    return [cell.strip("\n") for cell in re.split(f"^{SEPARATOR}$", rest, flags=re.M)]


@pytest.fixture
def executed(monkeypatch, tmp_path):
    """Execute a notebook's cells in one namespace: what it holds then, and what was shown."""

    def execute(number, **asked):
        shown = []
        monkeypatch.setattr(api, "show", lambda *some: shown.extend(some))
        for name, value in {"work": tmp_path, **asked}.items():
            monkeypatch.setenv(f"NOISESCOPE_{name.upper()}", str(value))
        names = {"__name__": "__main__"}
        for cell in cells(NOTEBOOKS[number - 1]):
            exec(compile(cell, NOTEBOOKS[number - 1].name, "exec"), names)
        for figure in (one for one in shown if isinstance(one, Figure)):
            figure.draw_without_rendering()
            assert all(axes.has_data() for axes in figure.axes if axes.axison)
        return SimpleNamespace(**names), shown

    return execute


def figures(shown):
    return [one for one in shown if isinstance(one, Figure)]


def test_there_are_five():
    assert [notebook.name[:3] for notebook in NOTEBOOKS] == ["01_", "02_", "03_", "04_", "05_"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_is_databricks_source(notebook):
    parted = cells(notebook)
    assert parted[0].startswith(f"{MAGIC} %md\n{MAGIC} # ")
    assert [cell.split()[2] for cell in parted[1:3]] == ["%pip", "%restart_python"]
    for cell in parted:
        lines = cell.splitlines()
        assert lines, "a cell is empty"
        if lines[0].startswith(MAGIC):
            assert all(line.startswith(MAGIC) for line in lines)
            assert re.match(f"{MAGIC} %(md$|pip |restart_python$)", lines[0])
        else:
            ast.parse(cell)
            assert not any(line.startswith((MAGIC, "# COMMAND", "%", "!")) for line in lines)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_asks_nothing_that_spark_connect_lacks(notebook):
    text = notebook.read_text(encoding="utf-8")
    found = re.search(
        r"\brdd\b|sparkContext|SparkContext|\.(cache|persist|stop)\(|_jvm|/dbfs", text
    )
    assert found is None
    # The platform's Spark must stay.
    assert "noisescope[spark]" not in text


def test_quick_start_finds_both_generators(executed, spark):
    names, shown = executed(1, size=96, photographs=40, generated=60, reference=70)
    assert names.measures["f1"] > 0.9
    assert [row["maker"] for row in names.fingerprints].count("generator") == 2
    assert names.told.match.is_fake and names.told.match.changes
    assert len(figures(shown)) == 1 + 2 * len(names.fingerprints)
    assert Path(shown[-1]).is_file()


def test_your_own_folder_is_searched_and_evaluated(executed, spark, dump, tmp_path):
    labels = tmp_path / "labels.csv"
    rows = [f"{file.name},{'fake' if file.name in dump.fakes else 'real'}"
            for file in dump.images.iterdir()]  # fmt: skip
    labels.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    names, shown = executed(2, images=dump.images, reference=dump.reference, labels=labels)
    assert names.measures["f1"] == 1
    assert names.planned["files"] == 60
    assert names.later["is_fake"].sum() == len(dump.fakes)
    assert len(figures(shown)) == 4


def test_anatomy_tells_generators_from_each_other_and_from_photographs(executed):
    names, shown = executed(3, size=96, images=40, photographs=93)
    assert names.above["images of that generator"] > 0.5
    assert max(names.above["of the other generator"], names.above["photographs"]) < 0.1
    generators, photographs = names.margins.values()
    assert generators.max() < 0 < photographs.mean()
    assert len(names.flagged) > 36
    assert all(path.startswith("generated") for path in names.flagged)
    assert len(figures(shown)) == 8
    assert "50 images" not in [axes.get_title("left") for axes in shown[2].axes]


def test_experiments_end_in_a_table_and_plots(executed):
    names, shown = executed(4, draws=1, images=20, reference=60)
    means = names.means.set_index(["trial", "attack", "method"])["f1"]
    assert len(names.means) == 10
    assert means["transposed convolution", "jpeg", "whitened"] > 0.9
    assert len(figures(shown)) == 3


class Widgets(dict):
    """As dbutils.widgets is: what is filled in stays."""

    def text(self, name, default):
        self.setdefault(name, default)

    def get(self, name):
        return self[name]


def test_parameters_are_widgets_on_databricks(monkeypatch):
    monkeypatch.setenv("NOISESCOPE_SIZE", "64")
    widgets = Widgets(work=" /Volumes/a/b/c ", settings="spark.jars=/x discovery.members=8")
    asked = api.parameters(
        SimpleNamespace(widgets=widgets), work=None, size=96, images="", settings={}
    )
    assert asked == {
        "work": "/Volumes/a/b/c", "size": 96, "images": "",
        "settings": {"spark.jars": "/x", "discovery.members": "8"},
    }  # fmt: skip
    assert widgets["size"] == "96"
    with pytest.raises(api.UsageError, match="work: fill in the widget"):
        api.parameters(SimpleNamespace(widgets=Widgets()), work=None)


def test_parameters_are_environment_variables_elsewhere(monkeypatch):
    monkeypatch.setenv("NOISESCOPE_SIZE", "64")
    monkeypatch.setenv("NOISESCOPE_IMAGES", "many")
    monkeypatch.setenv("NOISESCOPE_SETTINGS", "method")
    assert api.parameters(None, size=96, work=None) == {"size": 64, "work": None}
    wrong = r"images: must be a number, got 'many'; settings: must be KEY=VALUE, parted by blanks"
    with pytest.raises(api.UsageError, match=wrong):
        api.parameters(None, images=3, settings={})


def test_a_script_prints_tables_and_saves_figures(capsys):
    table = pd.DataFrame({"file": ["a.jpg"], "score": [1.5]})
    api.show(table, Figure(), {"f1": 1.0})
    header, row, figure, measures = capsys.readouterr().out.splitlines()
    assert (header.split(), row.split()) == (["file", "score"], ["a.jpg", "1.5"])
    assert Path(figure.removeprefix("figure: ")).read_bytes().startswith(b"\x89PNG")
    assert measures == "{'f1': 1.0}"
