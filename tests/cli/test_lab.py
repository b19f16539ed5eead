"""JupyterLab as `make read` starts it: a notebook that is run with other parameters stays as it is committed."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from browser import browser_tabs

ROOT = Path(__file__).resolve().parents[2]
INTERVAL = 3  # seconds between two automatic saves, where they are on; JupyterLab's own default is 120


def copied(folder: Path) -> Path:
    """A repository of the files of this checkout, all of them committed."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    for command in ("init -q", "add -A", "-c user.name=test -c user.email=test@localhost commit -q -m copy"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    return folder


def lab_command() -> list[str]:
    """What `make read` ends with, by this interpreter's programs."""
    done = subprocess.run(
        ["make", "-n", "read", f"BIN={Path(sys.executable).parent}", "ARGS=--no-browser --IdentityProvider.token="],
        cwd=ROOT, capture_output=True, check=True, text=True,
    )  # fmt: skip
    return shlex.split(done.stdout.splitlines()[-1])


def run_all_and_wait(tab, address: str, page: Path) -> None:
    """Open the first notebook, change a parameter, run all cells, and wait until a save would have come.

    `page` is what one of the last cells writes; the notebook's outputs do not show that they are new.
    """
    page.unlink(missing_ok=True)
    tab.page.goto(address)
    cell = tab.page.locator(".jp-CodeCell .cm-content", has_text="completions sampled for each problem").first
    cell.click(timeout=60_000)
    tab.page.keyboard.press("Control+End")
    tab.page.keyboard.type("\nn = 5")
    tab.page.click(".lm-MenuBar-itemLabel:text-is('Run')")
    tab.page.click(".lm-Menu-itemLabel:text-is('Run All Cells')")
    deadline = time.monotonic() + 120
    while not page.is_file():
        assert time.monotonic() < deadline, "the cells did not run"
        time.sleep(0.2)
    tab.page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']", timeout=60_000)
    time.sleep(3 * INTERVAL)


@pytest.mark.full
def test_a_run_with_other_parameters_in_the_lab_leaves_git_status_clean(tmp_path):
    copy = copied(tmp_path / "copy")
    written = copy / "out" / "study" / "figures" / "00_explorer.html"
    settings = tmp_path / "settings" / "@jupyterlab" / "docmanager-extension" / "plugin.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"autosaveInterval": INTERVAL}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": str(copy), "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip

    def status() -> str:
        return subprocess.run(["git", "status", "--short"], cwd=copy, capture_output=True, text=True).stdout

    with open(tmp_path / "log", "w") as log, browser_tabs() as open_tab:
        command = [*lab_command(), f"--port={port}"]
        lab = subprocess.Popen(command, cwd=copy, env=environment, stdout=log, stderr=log)
        try:
            while "is running at" not in (tmp_path / "log").read_text():
                assert lab.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.2)
            address = f"http://127.0.0.1:{port}/lab/tree/notebooks/00_walkthrough.ipynb"
            run_all_and_wait(open_tab(), address, written)
            assert status() == ""
            # the same with autosave, to show that the wait was long enough
            settings.write_text(json.dumps({"autosaveInterval": INTERVAL, "autosave": True}))
            run_all_and_wait(open_tab(), address, written)
            assert status() == " M notebooks/00_walkthrough.ipynb\n"
        finally:
            lab.send_signal(signal.SIGTERM)
            lab.wait(30)
