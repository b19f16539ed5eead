"""Every `tts-study` command in README and docs can be pasted: its options exist, and none that it needs is missing."""

import re
import shlex
from pathlib import Path

import pytest

from tts_study import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands() -> list[tuple[str, str]]:
    """(page, arguments) of each command in a block of shell; variables of a loop stand for 1."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                line = re.sub(r"(?:^|\s)#.*", "", line)
                for command in re.findall(r"(?:^|[\s'=\"])(?:\.venv/bin/)?tts-study ((?:[^;&']|'[^']*')*)", line):
                    found.append((page.name, re.sub(r"\$\(\(.*?\)\)|\$\w+", "1", command)))
    return found


def test_there_are_commands_to_check():
    assert {page for page, _ in commands()} >= {"README.md", "gpu.md", "remote.md", "cluster.md", "extend.md"}


@pytest.mark.parametrize(("page", "command"), commands())
def test_a_documented_command_has_all_that_it_needs(page, command):
    parser = cli._Parser(prog="tts-study")
    cli.add_commands(parser.add_subparsers(required=True))
    assert parser.parse_args(shlex.split(command)).command  # it raises what the user would read
