"""``completion``: what makes a shell complete these commands."""

from __future__ import annotations

from typing import Final

import click

NAMES: Final = ("kubernetes-leader-election", "kle")


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """
    Print the script that completes commands and options in a shell.

    \b
    bash   eval "$(kle completion bash)"                      in ~/.bashrc
    zsh    eval "$(kle completion zsh)"                       in ~/.zshrc
    fish   kle completion fish > ~/.config/fish/completions/kle.fish

    This works for both names, kubernetes-leader-election and kle. `kubectl leader` is
    completed by kubectl itself (1.26 or newer), which calls the program
    kubectl_complete-leader; it is installed together with kubectl-leader.
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - only here

    root = click.get_current_context().find_root().command
    shell_class = get_completion_class(shell)
    if shell_class is None:  # pragma: no cover - click knows all three
        raise click.UsageError(f"{shell} cannot be completed.")
    for name in NAMES:
        variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
        click.echo(shell_class(root, {}, name, variable).source())
