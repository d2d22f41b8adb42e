"""`noisescope evaluate`: verdicts against labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from noisescope_core.cli.shared.commands import Command
from noisescope_core.cli.shared.inputs import check_exist
from noisescope_core.cli.shared.options import FILE, FOLDER, RESULT, with_options
from noisescope_core.cli.shared.output import print_result
from noisescope_core.errors import UsageError, first_line


@click.command(
    cls=Command,
    epilog="""\
noisescope evaluate --verdicts my/run/verdicts --labels labels.csv
noisescope evaluate --verdicts my/run/verdicts --labels labels.csv --json""",
)
@click.option(
    "--verdicts", required=True, metavar="DIR", type=FOLDER, help="The verdicts of a run."
)
@click.option(
    "--labels", required=True, metavar="FILE", type=FILE,
    help="CSV with columns path and label, which is fake or real.",
)  # fmt: skip
@with_options(*RESULT)
def evaluate(verdicts: str, labels: str) -> None:
    """Hold verdicts against labels: precision, recall, F1, confusion counts."""
    check_exist({"--verdicts": verdicts, "--labels": labels})
    from noisescope_core.app import evaluation

    label_of = evaluation.read_labels(Path(labels))
    result = evaluation.evaluate(_read_verdicts(verdicts), label_of)
    print_result(result, lambda: show_evaluation(result))


def _read_verdicts(folder: str) -> list[dict[str, Any]]:
    import pyarrow.dataset as ds

    columns = ["path", "status", "is_fake"]
    try:
        rows: list[dict[str, Any]] = (
            ds.dataset(folder, format="parquet").to_table(columns=columns).to_pylist()
        )
    except Exception as error:
        inside = Path(folder, "verdicts")
        advice = f"; did you mean {inside}?" if inside.exists() else f" ({first_line(error)})"
        raise UsageError(f"--verdicts: {folder} holds no verdicts{advice}") from error
    return rows


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
            output.print(f"{result[key]:,} {text}", highlight=False)
