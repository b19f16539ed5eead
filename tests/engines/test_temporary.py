"""The temporary folder: too long a path is named with its cure, and what killed processes leave is removed."""

import os
import subprocess
import sys
import tempfile

import pytest

from tts_study.engines import temporary
from tts_study.errors import UserError

# stands for a process with an engine: prepares, tells its folder, and leaves a socket there
PROCESS = """
import os, pathlib, sys
from tts_study.engines import temporary
temporary.prepare()
folder = pathlib.Path(os.environ[temporary.VARIABLE])
(folder / "socket").touch()
print(folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def base(monkeypatch, tmp_path):
    """A temporary folder of the test's own, where no folder is too young to be removed."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv(temporary.VARIABLE, "")
        monkeypatch.setattr(temporary, "YOUNG", -1.0)
        temporary._own.cache_clear()
        yield folder
        temporary._own.cache_clear()


def started(base):
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS], env=os.environ | {"TMPDIR": base}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return process, process.stdout.readline().strip()


def test_what_a_killed_process_leaves_is_removed_at_the_next_start_and_a_living_ones_is_not(base):
    killed, left = started(base)
    living, kept = started(base)
    killed.kill()
    killed.wait()
    assert os.listdir(left) == os.listdir(kept) != []
    temporary.prepare()
    assert not os.path.exists(left) and os.path.exists(kept)
    assert os.environ[temporary.VARIABLE] == f"{base}/{temporary.PREFIX}{os.getpid()}"
    living.communicate("")
    assert not os.path.exists(kept), "who ends in good order leaves nothing"


def test_a_path_that_is_too_long_for_sockets_is_named_with_its_cure(monkeypatch, tmp_path):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setenv(temporary.VARIABLE, "")
    temporary._own.cache_clear()
    with pytest.raises(UserError, match=r"path is too long for sockets \(.* fit\): name another, such as TMPDIR=/tmp"):
        temporary.prepare()
    monkeypatch.setenv(temporary.VARIABLE, str(long))
    with pytest.raises(UserError, match="TMPDIR=/tmp"):
        temporary.prepare()


def test_a_folder_that_the_user_has_named_is_left_as_it_is(base, monkeypatch):
    monkeypatch.setenv(temporary.VARIABLE, base)
    temporary.prepare()
    assert os.environ[temporary.VARIABLE] == base
    assert os.listdir(base) == []
