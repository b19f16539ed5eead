"""The command line, a module for each command. Thin: each command calls one function."""

import argparse
import errno
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any, NoReturn

from tts_study.errors import OPTIONAL, NotInstalled, UserError, one_line

INTERRUPTED = 130  # exit code after Ctrl-C, as in a shell
OUTPUT_CLOSED = 141  # exit code of what a closed pipe ends, as in a shell
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a file that is written to does not say its name
MOST_SHOWN, LONGEST_WORD = 4000, 300  # characters of an error


def add_commands(commands: Any) -> None:
    """Add the commands of `tts-study`, which are imported here: that takes half a second."""
    from tts_study.cli import check_gpu, choose, export, grade, merge, prm_bench, replay, run, serve, solve, study

    for command in (run, merge, study, solve, serve, replay, export, grade, choose, prm_bench, check_gpu):
        command.add_parser(commands)


def main(
    argv: Sequence[str] | None = None,
    *,
    prog: str = "tts-study",
    description: str = "Study how test-time compute scales, with open models.",
    add_commands: Callable[[Any], None] = add_commands,
) -> int:
    """Run a command; bad input is reported in one line and exits with code 2, Ctrl-C with 130.

    Args:
        argv: the arguments; the process's own if None.
        prog: what the program is called in messages.
        description: of the program, in its help.
        add_commands: adds a parser for each command.
    """
    parser = _Parser(prog=prog, description=description)
    parser.add_argument("--version", action="version", version=f"tts-study {version('tts-study')}")
    add_commands(parser.add_subparsers(required=True, metavar="COMMAND"))
    try:
        arguments = parser.parse_args(argv)
        with _interruptible():
            arguments.command(arguments)
            sys.stdout.flush()  # here, where a disk without room is still reported
    except UserError as error:
        shown = re.sub(rf"(\S{{{LONGEST_WORD}}})\S+", r"\1…", str(error))  # such as a name that was typed
        print(f"{prog}:", one_line(shown, MOST_SHOWN), file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        print(f"{prog}: {NotInstalled(error.name)}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the output, such as `head`, has seen enough
        return OUTPUT_CLOSED
    except OSError as error:
        if error.errno in FULL and not error.filename:
            print(f"{prog}: cannot write: {error.strerror}; make room, and run the same command again", file=sys.stderr)
            return 2
        if not error.filename:  # a bug of this package, and not a file that cannot be read or written
            raise
        where = one_line(os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename))
        print(f"{prog}: {where}: {error.strerror}: check the path and its permissions", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{prog}: interrupted: what is finished is kept, and the same command resumes", file=sys.stderr)
        return INTERRUPTED
    return 0


def script() -> NoReturn:
    """What is installed as `tts-study`: `main`; after a failure it ends at once, with engines that are starting."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # before a command begins and after it, Ctrl-C needs no words
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a console that is not UTF-8
    code = main()
    if code:
        for process in multiprocessing.active_children():  # engines that were just starting
            process.kill()
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)
    sys.exit()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Make Ctrl-C interrupt a command, and a second one end the process at once, whatever it does."""

    def interrupt(*_: object) -> NoReturn:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise KeyboardInterrupt

    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # a job in a script's background
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Report it as any other bad input, without the usage."""
        raise UserError(f"{message} (see {self.prog} --help)")
