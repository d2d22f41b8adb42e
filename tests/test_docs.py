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


def test_readme_names_every_job_and_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for job in (ROOT / "jobs").glob("*.py"):
        assert f"jobs/{job.name}" in readme
    from noisescope_core.cli import main

    for command in main.commands:
        assert f"noisescope {command}" in readme
