"""The classes of all commands: help with examples and sections, errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from noisescope_core.cli.shared.errors import report_errors


class Command(click.Command):
    """A command that reports errors in one line and whose help ends with examples (its epilog)."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run as a program."""
        options["standalone_mode"] = False
        sys.exit(report_errors(lambda: super(Command, self).main(*arguments, **options)))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples line by line: click would wrap them."""
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.splitlines():
                    formatter.write(f"  {line}\n")


class CommandGroup(Command, click.Group):
    """Commands under names, listed in sections.

    Parameters
    ----------
    sections : title to names, in order; commands that no section names come last
    """

    command_class = Command
    group_class = type

    def __init__(
        self, *arguments: Any, sections: Mapping[str, Sequence[str]] | None = None, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.sections = sections or {}

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run as a program, under the group's name however the program was started."""
        return super().main(*arguments, **{**options, "prog_name": self.name})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names in the order of the sections."""
        ordered = [name for names in self.sections.values() for name in names]
        return [name for name in ordered if name in self.commands] + [
            name for name in self.commands if name not in ordered
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first line of every command's help under the command's section."""
        section_of = {name: title for title, names in self.sections.items() for name in names}
        entries: dict[str, list[tuple[str, str]]] = {}
        width = max(map(len, self.commands))
        for name in self.list_commands(ctx):
            first_line = (self.commands[name].help or "").split("\n")[0]
            section = entries.setdefault(section_of.get(name, "Commands"), [])
            section.append((name.ljust(width), first_line))
        for title, section in entries.items():
            with formatter.section(title):
                formatter.write_dl(section)
