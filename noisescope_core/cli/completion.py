"""`noisescope completion`: the script by which a shell completes what is typed."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from noisescope_core.cli.shared.commands import Command, CommandGroup


@click.command(
    cls=Command,
    epilog="""\
echo 'eval "$(noisescope completion bash)"' >> ~/.bashrc
echo 'eval "$(noisescope completion zsh)"' >> ~/.zshrc
noisescope completion fish > ~/.config/fish/completions/noisescope.fish""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands, options, folders and keys in a shell.

    Install it by the line for your shell below; a new shell has it then.
    """
    script_class = get_completion_class(shell)
    root = ctx.find_root().command
    if script_class is None or not isinstance(root, CommandGroup):
        raise RuntimeError(f"click knows no completion of {shell}")
    script = script_class(root, {}, "noisescope", "_NOISESCOPE_COMPLETE").source()
    # Bash would put a space behind KEY=, where the value is typed next.
    if shell == "bash":
        add = "COMPREPLY+=($value)"
        script = script.replace(add, f"{add}; [[ $value == *= ]] && compopt -o nospace")
    click.echo(script)
