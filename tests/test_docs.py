"""What the pages say is what the code does."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_tables_page_is_the_schemas():
    tables = pytest.importorskip("noisescope_core.spark.tables")
    page = (ROOT / "docs/tables.md").read_text(encoding="utf-8")
    documented = {}
    for section in re.split(r"^## ", page, flags=re.M)[1:]:
        name, _, body = section.partition("\n")
        rows = re.findall(r"^\| (\w+) \| ([\w<>]+) \|", body, flags=re.M)
        documented[name] = [row for row in rows if row != ("column", "type")]
    documented["reference_residuals"] = documented["residuals"]
    declared = {
        name: [tuple(column.split()) for column in schema.split(",")]
        for name, schema in tables.SCHEMAS.items()
    }
    assert documented == declared


def test_experiments_page_is_the_schema_and_its_file_is_valid(tmp_path):
    from noisescope_core.attacks import ATTACKS
    from noisescope_core.experiments.definition import load_experiment
    from noisescope_core.experiments.methods import METHODS
    from noisescope_core.experiments.table import SCHEMA

    page = (ROOT / "docs/experiments.md").read_text(encoding="utf-8")
    columns = re.findall(r"^\| (\w+) \| ([^|]+) \|", page.split("## trials")[1], flags=re.M)
    # Arrow names the element of a list, the page does not.
    declared = [(one.name, str(one.type).replace("item: ", "")) for one in SCHEMA]
    assert columns[1:] == declared
    file = tmp_path / "mine.yaml"
    file.write_text(re.findall(r"```yaml\n(.*?)```", page, flags=re.S)[0])
    assert load_experiment(str(file)).attacks["median"] == ATTACKS["median"].strengths
    for name in (*METHODS, *ATTACKS):
        assert f"`{name}`" in page


def test_readme_names_every_job_and_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for job in (ROOT / "jobs").glob("*.py"):
        assert f"jobs/{job.name}" in readme
    from noisescope_core.cli import main

    for command in main.commands:
        assert f"noisescope {command}" in readme
