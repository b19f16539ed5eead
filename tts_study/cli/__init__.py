"""The command line, a module for each command. Thin: each command calls one function."""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from tts_study.cli import bench, export, grade, merge, replay, run, scale, serve, study
from tts_study.errors import UserError
from tts_study.micro import cli as micro

INTERRUPTED = 130  # exit code after Ctrl-C, as in a shell
COMMANDS = (run, merge, study, serve, replay, export, grade, bench, scale, micro)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; bad input is told in one line and exits with code 2, Ctrl-C with 130."""
    try:
        arguments = _parser().parse_args(argv)
        arguments.command(arguments)
    except UserError as error:
        print("tts-study:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except OSError as error:
        if not error.filename:  # a fault of ours, and not a file that cannot be read or written
            raise
        print(f"tts-study: {error.filename}: {error.strerror}: check the path and its permissions", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntts-study: interrupted; what was done is kept, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    return 0


def script() -> NoReturn:
    """What is installed as `tts-study`: `main`, except that a command that fails waits for nothing."""
    code = main()
    if code:
        for process in multiprocessing.active_children():  # engines that were just starting
            process.kill()
        sys.stdout.flush()
        os._exit(code)
    sys.exit()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Tell it as any other bad input, without the usage."""
        raise UserError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tts-study", description="Study how test-time compute scales, with open models.")
    commands: Any = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser
