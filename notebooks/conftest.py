"""Notebooks are replayed as a reader's light install replays them: PyTorch, vLLM and Ray are hidden from the kernels."""

import os
from pathlib import Path

import pytest

LIGHT = Path(__file__).parents[1] / "tests" / "light"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup():
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(LIGHT), before)))  # kernels inherit it
    try:
        return (yield)
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
