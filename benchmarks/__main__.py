"""`python -m benchmarks COMMAND`: how fast, at what price, and how reliable; nothing of the study needs it."""

import sys

from benchmarks import cli
from tts_study.cli import main

if __name__ == "__main__":
    sys.exit(main(prog=cli.PROG, description=__doc__, add_commands=cli.add_commands))
