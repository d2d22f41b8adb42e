"""What a Databricks job calls: the command line in an interpreter that goes on after it.

click ends every command with SystemExit, which there is an error even when all went well.
"""

from __future__ import annotations

from noisescope_core.cli import main as command_line
from noisescope_core.cli.shared.errors import ALERT, FAILED, WRONG_USAGE

MEANING = {
    FAILED: "it failed",
    WRONG_USAGE: "wrong usage or configuration",
    ALERT: "a threshold of alerts was exceeded",
}
"""Exit codes in words."""


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
    except SystemExit as exit_:
        if exit_.code:
            meaning = MEANING.get(exit_.code) if isinstance(exit_.code, int) else None
            raise TaskFailed(f"exit code {exit_.code}: {meaning or 'see the output'}") from None
