"""The commands of `aes-lipi`, and `run.py`, which is one of them."""

from __future__ import annotations

import typer

from aes_lipi.cli.analyse import analyse
from aes_lipi.cli.clean import clean
from aes_lipi.cli.export import export
from aes_lipi.cli.options import normalise, with_field_flags
from aes_lipi.cli.reproduce import reproduce
from aes_lipi.cli.run import run
from aes_lipi.cli.status import status

SETTINGS = {"token_normalize_func": normalise, "help_option_names": ["--help", "-h"]}


def _make(help_text: str | None) -> typer.Typer:
    return typer.Typer(
        help=help_text,
        add_completion=False,
        context_settings=SETTINGS,
        pretty_exceptions_enable=False,
    )


run_app = _make(None)
run_app.command("run", context_settings=SETTINGS)(with_field_flags(run))

app = _make("Coevolution of autoencoders that are pruned while they train.")
app.add_typer(run_app)
app.command("analyse", context_settings=SETTINGS)(analyse)
app.command("clean", context_settings=SETTINGS)(clean)
app.command("export", context_settings=SETTINGS)(export)
app.command("reproduce", context_settings=SETTINGS)(reproduce)
app.command("status", context_settings=SETTINGS)(status)


@app.callback()
def _commands() -> None:
    """Coevolution of autoencoders that are pruned while they train."""
