"""What a Databricks job calls: the command line in an interpreter that goes on after it.

click ends every command with SystemExit, which there is an error even when all went well.
"""

from __future__ import annotations

from noisescope_core.cli import main as command_line

MEANING = {
    1: "it failed",
    2: "wrong usage or configuration",
    3: "a threshold of alerts was exceeded",
}


class TaskFailed(Exception):
    """A command ended with an exit code other than 0."""


def main() -> None:
    """Run the command that sys.argv names; return if all went well.

    Raises
    ------
    TaskFailed
        With the exit code and what it means.
    """
    try:
        command_line()
    except SystemExit as end:
        if end.code:
            meaning = MEANING.get(end.code) if isinstance(end.code, int) else None
            raise TaskFailed(f"exit code {end.code}: {meaning or 'see the output'}") from None
