"""`python -m tts_study.micro COMMAND`: make the micro world, and measure it."""

import sys

from tts_study.cli import main
from tts_study.micro import cli

if __name__ == "__main__":
    sys.exit(main(prog=cli.PROG, description=__doc__, add_commands=cli.add_commands))
