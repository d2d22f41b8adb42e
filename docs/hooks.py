"""What the site has besides the pages of docs/: mkdocs calls these functions.

Two pages of reference are made from the code, so they cannot lag behind it. Pages link to files
beside docs/ as they lie in the repository (`../conf/default.yaml`); these become part of the site.
"""

from __future__ import annotations

import inspect
import json
import posixpath
import re
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from noisescope_core.cli import main
from noisescope_core.config import Config

ROOT = Path(__file__).parents[1]
TOP = ("CONTRIBUTING.md", "CHANGELOG.md", "LICENSE")
BESIDE = (
    *TOP, "benchmarks/results.md", "conf/*.yaml", "conf/experiments/*.yaml", "schedules/*/*",
)  # fmt: skip

KEYS = """# Every key

Made from `noisescope_core/config.py` and [conf/default.yaml](../../conf/default.yaml), which may be
copied and changed. `--config FILE` names a file with some of these keys, `--set KEY=VALUE` sets
one. Wrong keys, types and bounds are all told at once, before Spark starts.
"""
COMMANDS = """# Every command

Made from the commands themselves; `--help` says the same. [Exit codes](../schedules.md#exit-codes):
0 it ran, 1 it failed, 2 wrong usage or configuration, 3 a scan ended well and exceeds a threshold
of `alerts`.
"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of a folder that the navigation names."""
    for entry in config.nav or []:
        for title, place in entry.items():
            if isinstance(place, str) and place.endswith("/"):
                pages = sorted(Path(config.docs_dir, place).glob("*.md"))
                entry[title] = [place + page.name for page in pages]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of reference and the files beside docs/."""
    made = {"reference/configuration.md": keys(), "reference/commands.md": commands()}
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    for pattern in BESIDE:
        for path in filter(Path.is_file, ROOT.glob(pattern)):
            place = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links that leave docs/, or lead into it, find what `on_files` has added."""
    here = posixpath.dirname(page.file.src_uri)
    if page.file.src_uri in TOP:
        markdown = markdown.replace("](docs/", "](")

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", here, match[1]))
        if target.startswith("docs/") or files.get_file_from_path(target) is None:
            return match[0]
        return f"]({posixpath.relpath(target, here or '.')}"

    return re.sub(r"\]\(((?:\.\./)+[^)#\s]+)", moved, markdown)


def keys() -> str:
    """Describe every key: type and bounds, default, and what conf/default.yaml says of it."""
    told, section = {}, ""
    for line in (ROOT / "conf/default.yaml").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"( *)(\w+): *(\S*?) +# (.*)|( *)(\w+):$", line):
            indent, name = match[1] or match[5] or "", match[2] or match[6]
            section = section if indent else f"{name}."
            told[section + name if indent else name] = match[4] or ""
    schema = Config.model_json_schema()
    page, top = [KEYS], []
    for name, field in schema["properties"].items():
        model = schema["$defs"].get(field.get("$ref", "").rsplit("/", 1)[-1])
        if model is None:
            top.append(_row(name, field, told[name]))
            continue
        rows = [_row(f"{name}.{key}", one, told[f"{name}.{key}"])
                for key, one in model["properties"].items()]  # fmt: skip
        about = told.get(name) or model["description"]
        page.append(f"\n## {name}\n{about[:1].upper()}{about[1:].rstrip('.')}.\n\n{_table(rows)}")
    return "".join([page[0], "\n", _table(top), *page[1:]])


def _table(rows: list[str]) -> str:
    head = "| key | type and bounds | default | meaning |"
    return "\n".join([head, "|---|---|---|---|", *rows, ""])


def _row(key: str, field: dict[str, Any], meaning: str) -> str:
    default = json.dumps(field.get("default", {})).strip('"')
    meaning = re.sub(r"docs/(\w+\.md)", r"[\1](../\1)", meaning)
    return f"| `{key}` | {_bounds(field)} | `{default}` | {meaning} |"


def _bounds(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_bounds(one) for one in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {field[name]:,}" for name, sign in signs.items() if name in field]
    if "pattern" in field:
        limits.append(f"`{field['pattern']}`".replace("|", "\\|"))
    kind = "map of Spark's keys" if field["type"] == "object" else field["type"]
    return " ".join([kind, ", ".join(limits)]).strip()


def commands() -> str:
    """Describe every command: usage, what it does, its arguments and options."""
    return COMMANDS + "".join(_described(main, click.Context(main, info_name="noisescope")))


def _described(command: click.Command, context: click.Context) -> list[str]:
    if isinstance(command, click.Group):
        return [
            part
            for name, one in sorted(command.commands.items())
            for part in _described(one, click.Context(one, context, info_name=name))
        ]
    usage = " ".join(command.collect_usage_pieces(context))
    told = [param.get_help_record(context) for param in command.get_params(context)]
    rows = [
        f"| `{name}` | {text} |".replace("[", "\\[") for name, text in filter(None, told) if text
    ]
    return [
        f"\n## {context.command_path}\n{inspect.cleandoc(command.help or '')}\n\n",
        f"```text\n{context.command_path} {usage}\n```\n\n",
        "\n".join(["| option | meaning |", "|---|---|", *rows, ""]),
    ]
