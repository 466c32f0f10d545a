"""The command line: a thin layer over the Python API. Imports nothing heavy until a command needs it.

Exit codes: 0 done; 1 a result below what was asked (nothing was measured, no cell meets the constraints, a cell is
slower); 2 bad usage or input, with one line that says what is wrong and what to do; 130, 143, 129 stopped by Ctrl-C,
SIGTERM or a closed terminal (what was measured is kept).
"""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Annotated, Any, NoReturn

import typer

from depthport.bench.cli.check import check
from depthport.bench.cli.command import EXPERT, MEASURED, VERBOSITY, Command, command
from depthport.bench.cli.export import ExportCommand, export
from depthport.bench.cli.fleet import fleet
from depthport.bench.cli.inspect import inspect, list_artifacts, sample
from depthport.bench.cli.measure import bench, run
from depthport.bench.cli.options import Json, old_name, print_json, refuse_empty, show, spread, stderr, stdout
from depthport.bench.cli.predict import predict
from depthport.bench.cli.profile import max_batch, profile
from depthport.bench.cli.results import choose, compare, report, reproduce
from depthport.bench.measure.signals import exit_code_of, stop_on_signals
from depthport.exporters.core.errors import DepthportError, UsageError, tidy
from depthport.exporters.core.files.atomic import check_output_folder, write_json
from depthport.exporters.core.files.paths import user_argument
from depthport.exporters.core.text import quoted

app = typer.Typer(
    name="depthport",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        import depthport

        stdout(f"depthport {depthport.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Depth Anything 3 to every runtime: export, measure, prove, choose."""


def doctor(
    self_check: Annotated[
        bool,
        typer.Option(
            "--self-check",
            help="Export, predict and compare with upstream in every runtime: two minutes.",
            rich_help_panel=MEASURED,
        ),
    ] = False,
    install: Annotated[
        bool,
        typer.Option(
            "--install",
            help="The commands that install what is missing; they run when you agree.",
            rich_help_panel=MEASURED,
        ),
    ] = False,
    extras: Annotated[
        list[str] | None, typer.Argument(metavar="[EXTRA]...", help="With --install: onnx, openvino, coreml, ...")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="With --install: run them without asking.", rich_help_panel=EXPERT)
    ] = False,
    json_: Json = False,
) -> None:
    """List what can run here, what is missing, and the line that installs it.

    Examples:
        depthport doctor
        depthport doctor --install
        depthport doctor --install onnx litert --yes
    """
    from depthport.bench.cli.doctor_view import offer, render

    if install:
        offer(extras or [], yes, json_)
        return
    if extras or yes:
        raise UsageError("doctor takes extras and --yes together with --install only")
    if self_check:
        _self_check(json_)
        return
    from depthport.bench.diagnose import doctor as checks

    show("doctor", checks.collect(), json_, render)


def _self_check(json_: bool) -> None:
    from depthport.bench.cli.doctor_view import SELF_CHECK, render_self_check
    from depthport.bench.cli.progress import observer_for
    from depthport.bench.diagnose import self_check

    check_output_folder(SELF_CHECK.parent, (SELF_CHECK.name,))
    observer = observer_for()
    asked = self_check.request()
    try:
        results = self_check.run(asked, self_check.default_cells(asked), observer=observer)
    finally:
        observer.close()
    ok = self_check.passed(results)
    saved = None if ok else SELF_CHECK
    if saved is not None:
        write_json(saved, results.to_json())
    show("results", results, json_, lambda found, console: render_self_check(found, console, saved))
    if not ok:
        raise typer.Exit(1)


def _batch(**values: Any) -> None:
    """Old name of `max-batch`."""
    old_name("batch", "max-batch")
    max_batch(**values)


for _function in (doctor, run, predict, check, inspect, bench, profile, report, compare, choose, reproduce, sample):
    app.command(cls=Command)(command(_function))
app.command(cls=ExportCommand)(command(export))
app.command("max-batch", cls=Command)(command(max_batch))
app.command("batch", cls=Command, hidden=True)(command(wraps(max_batch)(_batch)))
app.command("list", cls=Command)(command(list_artifacts))
app.add_typer(fleet)


def main() -> None:
    """Entry point: typed errors become one line and their exit code; everything else keeps its traceback."""
    stop_on_signals()
    # Deprecations inside the frameworks are not the user's.
    warnings.simplefilter("ignore")
    for stream in (sys.stdout, sys.stderr):
        # Signs that a pipe's or terminal's encoding lacks are replaced: no work is lost to a "✓".
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        # Outside its standalone mode click returns the code of `typer.Exit` instead of raising it.
        arguments = [user_argument(argument) for argument in sys.argv[1:]]
        refuse_empty(arguments)
        code = app(spread(arguments, "--images"), standalone_mode=False)
        if isinstance(code, int):
            sys.exit(code)
    except DepthportError as error:
        if VERBOSITY.get() == "verbose":
            traceback.print_exception(error)
        _fail(str(error), error.exit_code)
    except BrokenPipeError:
        _reader_gone()
    except (OSError, MemoryError) as error:
        _fail(_refused(error), 2)
    except KeyboardInterrupt as stop:
        _fail("stopped", exit_code_of(stop))
    except (typer.Exit, SystemExit) as end:
        sys.exit(getattr(end, "exit_code", getattr(end, "code", 0)))
    except typer.Abort:
        _fail("stopped", 130)
    except _ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.exit(0)  # the help, which was printed, is the answer
        _fail(_usage_text(error), 2)


def _refused(error: OSError | MemoryError) -> str:
    """Turn errors that only the outermost caller can explain into a line; any other error of the system goes on up."""
    if isinstance(error, MemoryError):
        # What a file claims may be no shape that anyone asked for.
        return "this machine has not enough memory for that: ask for a smaller shape, or fewer views"
    # Every name that someone gives may be too long to be a file's.
    if error.errno != errno.ENAMETOOLONG:
        raise error
    return f"{quoted(error.filename)} is too long for the name of a file: shorten it"


def _fail(text: str, code: int) -> NoReturn:
    with suppress(OSError):  # the terminal was closed: nobody reads it, the exit code counts
        if "--json" in sys.argv:
            print_json("error", {"error": tidy(text), "exit_code": code})
        stderr(tidy(f"depthport: {text}"))
    sys.exit(code)


def _reader_gone() -> NoReturn:
    """End quietly when the reader of our output (`| head`) closes it, as other programs do."""
    # Python flushes once more at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(128 + 13)


# Newer typer carries its own click, so the class is found through what typer exports.
_ClickException: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _usage_text(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "depthport"
    text: Callable[[], str] = getattr(error, "format_message", lambda: str(error))
    return f"{text().rstrip('.')} (see `{command} --help`)"


if __name__ == "__main__":
    main()
