"""Functions in the user's files, named as "my_file.py:name": strategies and verifiers.

Such a file runs with all rights of this process, and only where a user names it.
"""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from tts_study.errors import UserError

# what ends a user's code: an `exit()` in it must not end this process without a word
FAILURES = (Exception, SystemExit)
_PREFIX = "tts_study_user_"


def is_function(name: str) -> bool:
    """Whether a name is that of a function in a file: "my_file.py:name"."""
    return name.rpartition(":")[0].endswith(".py")


def split(name: str) -> tuple[Path, str]:
    """The file and the function of "my_file.py:name"."""
    file, _, function = name.rpartition(":")
    return Path(file), function


def digest(file: Path) -> str:
    """The hash of a file's text.

    Raises:
        UserError: there is no such file.
    """
    if not file.is_file():
        raise UserError(f"there is no file {file}: name your own function as my_file.py:name")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def load(name: str) -> Any:
    """What the file of "my_file.py:name" has under that name, or None; it is run once, and again if it has changed.

    Raises:
        UserError: there is no such file, or it fails.
    """
    path, function = split(name)
    module = _PREFIX + hashlib.sha256(f"{path.resolve()} {digest(path)}".encode()).hexdigest()[:16]
    if module not in sys.modules:
        spec = importlib.util.spec_from_file_location(module, path)
        assert spec is not None and spec.loader is not None
        sys.modules[module] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[module])
        except UserError:
            del sys.modules[module]
            raise
        except FAILURES as error:
            del sys.modules[module]
            raise UserError(f"cannot read {path}: {type(error).__name__}: {error}") from error
    return getattr(sys.modules[module], function, None)


def modules() -> list[ModuleType]:
    """The modules that were read from such files: workers elsewhere cannot import them."""
    return [module for name, module in sys.modules.items() if name.startswith(_PREFIX)]
