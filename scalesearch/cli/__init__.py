"""The command line: one short function for each command. Errors of the user's are one line and exit status 2.

Rooms are imported inside the functions, so that `--help` and a price need no torch.
"""

from __future__ import annotations

import contextlib
import io
import sys

import click

from scalesearch import __version__
from scalesearch.cli import audit, curves, design, fit, latency, model, rehearse, space, starter, study, trained
from scalesearch.console.lines import logged, speaks
from scalesearch.inputs.quoting import shortened
from scalesearch.io.text import for_terminal, hide_in_line

LONGEST = 1000
"""Most characters of an error message."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(__version__, message="scalesearch %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Search compound scaling and feature networks of object detectors under a hard budget."""
    context.with_resource(logged())


for verb in (
    starter.init,
    study.search,
    study.report,
    rehearse.rehearse,
    curves.curves,
    audit.audit,
    fit.fit,
    design.cost,
    design.draw,
    design.anchors,
    latency.measure,
    latency.calibrate,
    space.space,
    model.train,
    trained.evaluate,
    trained.predict,
    trained.export,
):
    cli.add_command(verb)


def main() -> None:
    """Run the console script. An error that the user can correct is one line and status 2; Ctrl-C is 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for names that the terminal's encoding lacks
    try:
        cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
    except click.ClickException as error:
        if not speaks():  # under torchrun all processes have the same error
            sys.exit(2)
        _end(error.format_message(), 2)
    except ValueError as error:
        _end(str(error), 2)
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        _close()
        sys.exit(1)
    except OSError as error:
        _end(_one_line(error), 2)
    except MemoryError:
        _end("there is not enough memory for this; take a smaller size or batch", 2)
    except (KeyboardInterrupt, click.Abort):
        _end("stopped; the same command continues from here", 130)


def _one_line(error: OSError) -> str:
    """Return a system error (a full disk, a folder without write permission) with its place; our own text as it is."""
    if error.errno is None:
        return str(error)
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror}; mend that, and the same command continues"


def _close() -> None:
    """Close standard output, so that unwritten output is not flushed again at exit."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.close()


def _end(message: str, status: int) -> None:
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _close()
    print(f"scalesearch: {for_terminal(shortened(hide_in_line(' '.join(message.split())), LONGEST))}", file=sys.stderr)
    sys.exit(status)
