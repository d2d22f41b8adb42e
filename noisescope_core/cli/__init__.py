"""The command line: arguments in, exit code out (`shared.errors`). One module per command."""

from __future__ import annotations

import click

from noisescope_core import __version__
from noisescope_core.cli import (
    completion,
    detect,
    doctor,
    evaluate,
    experiment,
    explain,
    export,
    known,
    pack,
    plan,
    simulate,
)
from noisescope_core.cli.scans import erase, maintain, registry, scan
from noisescope_core.cli.shared.commands import CommandGroup

SECTIONS = {
    "Start here": ("doctor", "simulate", "detect", "explain", "evaluate", "export", "plan"),
    "Look for what was found": ("pack", "known"),
    "Scan a folder that grows": ("scan", "registry", "maintain", "erase"),
    "Compare methods": ("experiment",),
    "In the shell": ("completion",),
}
"""Commands in the order in which `noisescope --help` lists them, under their titles."""


@click.group(
    "noisescope",
    cls=CommandGroup,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\
noisescope doctor
noisescope simulate --out dump
noisescope detect --images dump/images --reference dump/reference --out run
noisescope detect --help""",
)
@click.version_option(__version__)
def main() -> None:
    """Find generated images in a pile, blind: no example of a fake is needed."""


for _command in (
    doctor.doctor,
    simulate.simulate,
    detect.detect,
    explain.explain,
    evaluate.evaluate,
    export.export,
    plan.plan,
    pack.pack,
    known.known,
    scan.scan,
    registry.registry,
    maintain.maintain,
    erase.erase,
    experiment.experiment,
    completion.completion,
):
    main.add_command(_command)
