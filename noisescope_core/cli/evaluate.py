"""`noisescope evaluate`: verdicts against labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.inputs import check_exist
from noisescope_core.cli.shared.options import FILE, FOLDER, RESULT, with_options
from noisescope_core.cli.shared.output import print_result
from noisescope_core.errors import UsageError


@click.command(
    cls=Command,
    epilog="""\
noisescope evaluate --verdicts my/run --labels labels.csv
noisescope evaluate --verdicts s3a://bucket/run --labels labels.csv --json""",
)
@click.option(
    "--verdicts", required=True, metavar="DIR", type=FOLDER, help="A run, or its verdicts."
)
@click.option(
    "--labels", required=True, metavar="FILE", type=FILE,
    help="CSV with columns path and label, which is fake or real.",
)  # fmt: skip
@with_options(*RESULT)
def evaluate(verdicts: str, labels: str) -> None:
    """Hold verdicts against labels: precision, recall, F1, confusion counts.

    A label's path is that of a verdict, or the end of it from a folder on.
    """
    check_exist({"--verdicts": verdicts, "--labels": labels})
    from noisescope_core.app import evaluation

    label_of = evaluation.read_labels(Path(labels))
    try:
        rows = evaluation.read_verdicts(verdicts)
    except UsageError as error:
        raise UsageError(f"--verdicts: {error}") from error
    try:
        result = evaluation.evaluate(rows, label_of)
    except UsageError as error:
        raise UsageError(f"{labels}: {error}") from error
    print_result(result, lambda: show_evaluation(result))


def show_evaluation(result: dict[str, Any]) -> None:
    """Print what `noisescope_core.app.evaluation.evaluate` returns."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "judged fake", "judged real", "not scored")
    for name, fake, real in (("fake", "tp", "fn"), ("real", "fp", "tn")):
        table.add_row(
            name, f"{result[fake]:,}", f"{result[real]:,}", f"{result['not_scored'][name]:,}"
        )
    output = Console()
    output.print(table)
    output.print(
        f"precision {result['precision']:.4f}   recall {result['recall']:.4f}   "
        f"F1 {result['f1']:.4f}",
        highlight=False,
    )
    for key, text in (
        ("other_labels", "files labelled neither fake nor real, left out"),
        ("without_verdict", "labels without a verdict"),
        ("without_label", "verdicts without a label"),
    ):
        if result[key]:
            such_as = f", such as {result['such_as'][0]}" if key == "without_verdict" else ""
            line = f"{result[key]:,} {text}{such_as}"
            output.print(line, markup=False, highlight=False, soft_wrap=True)
