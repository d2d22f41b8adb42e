"""What the pages say is what the code does."""

import ast
import json
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from noisescope_core.cli import main
from noisescope_core.config import Config, load_config

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOT_RUN = "<!-- not run: "


def blocks(page, language):
    """Code of a page, each block with what says that it is not run."""
    text = page.read_text(encoding="utf-8")
    pattern = rf"(?:^ *{NOT_RUN}(.*) -->\n)?^( *)```{language}\n(.*?)^ *```$"
    for reason, indent, code in re.findall(pattern, text, flags=re.S | re.M):
        yield re.sub(f"^{indent}", "", code, flags=re.M), reason


def having(language):
    return [page for page in PAGES if any(blocks(page, language))]


def named(page):
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="session")
def verdicts(tmp_path_factory):
    """A folder with the verdicts of a run in it, as pages read them."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    row = {
        "path": "/my/images/a.jpg", "status": "scored", "reason": None, "score": 90.0,
        "threshold": 11.0, "is_fake": True, "confidence": 0.99, "fingerprint_id": "0123456789ab",
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("pages")
    (folder / "my/run/verdicts").mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist([row]), folder / "my/run/verdicts/part.parquet")
    return folder


@pytest.mark.parametrize("page", having("python"), ids=named)
def test_python_of_a_page_runs(page, verdicts, monkeypatch):
    """In the order of the page, in one namespace; of what needs Spark the imports alone."""
    monkeypatch.chdir(verdicts)
    names, left_out = {}, 0
    for code, reason in blocks(page, "python"):
        tree = ast.parse(code, named(page))
        if reason or "noisescope_core.spark" in code:
            pytest.importorskip("pyspark")
            tree.body = [one for one in tree.body if isinstance(one, ast.Import | ast.ImportFrom)]
            left_out += 1
        exec(compile(tree, named(page), "exec"), names)
    assert left_out <= 1


def test_commands_of_pages_exist():
    seen = 0
    for page in having("sh"):
        for code, _ in blocks(page, "sh"):
            for line in code.replace("\\\n", " ").splitlines():
                if words := command_of(line):
                    check_command(words, f"{named(page)}: {line}")
                    seen += 1
    assert seen > 20


def command_of(line):
    """Words after `noisescope` of a line of shell, or those that a job hands to it."""
    words = shlex.split(re.sub(r"[\[\]]", "", line), comments=True)
    while words and "=" in words[0]:
        words = words[1:]
    if words and words[0].split("/")[-1] == "noisescope":
        return words[1:]
    for place, word in enumerate(words):
        if job := re.search(r"jobs/(detect|scan)\.py$", word):
            return [job[1], *words[place + 1 :]]
    return []


def check_command(words, where):
    command, elided = main, "..." in words
    words = [word for word in words if word != "..."]
    while isinstance(command, click.Group):
        assert words and words[0] in command.commands, where
        command = command.commands[words.pop(0)]
    try:
        given = command.make_context(command.name, words).params
    except click.MissingParameter as error:
        problem = None if elided else error
    except click.UsageError as error:
        problem = error
    else:
        problem = None
        load_config(None, given.get("settings", ()))
    assert problem is None, f"{where}: {problem.format_message()}"


def test_data_of_pages_loads():
    configurations = 0
    for page in PAGES:
        for code, _ in blocks(page, "json"):
            json.loads(code)
        for code, _ in blocks(page, "yaml"):
            (values,) = yaml.safe_load_all(code)
            if values.keys() <= Config.model_fields.keys():
                Config.model_validate(values)
                configurations += 1
    assert configurations


def test_links_of_the_readme_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for place in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / place).exists(), place


def test_the_site_builds_without_a_warning(tmp_path):
    mkdocs = pytest.importorskip("mkdocs.config")
    from mkdocs.commands.build import build

    build(mkdocs.load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    for page in tmp_path.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        # Nothing is fetched from elsewhere.
        assert not re.search(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=.?(?:https?:)?//", html)
    reference = (tmp_path / "reference/configuration.html").read_text(encoding="utf-8")
    for section, field in Config.model_fields.items():
        keys = getattr(field.annotation, "model_fields", None)
        for key in [f"{section}.{key}" for key in keys] if keys else [section]:
            assert f"<code>{key}</code>" in reference


def test_tables_page_is_the_schemas():
    tables = pytest.importorskip("noisescope_core.tables.schemas")
    page = (ROOT / "docs/tables.md").read_text(encoding="utf-8")
    documented = {}
    for section in re.split(r"^## ", page, flags=re.M)[1:]:
        name, _, body = section.partition("\n")
        rows = re.findall(r"^\| (\w+) \| ([\w<>]+) \|", body, flags=re.M)
        documented[name] = [row for row in rows if row != ("column", "type")]
    documented["reference_residuals"] = documented["residuals"]
    for name in ("searched", "tested"):
        documented[name] += documented["fingerprints"]
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
    for command in main.commands:
        assert f"noisescope {command}" in readme
