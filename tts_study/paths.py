"""Where the project's files lie: nbval runs a notebook in its own folder, papermill in the caller's."""

from pathlib import Path


def root() -> Path:
    """The project's folder: the nearest above the package that holds pyproject.toml, else the current one."""
    above = Path(__file__).resolve().parents
    return next((folder for folder in above if (folder / "pyproject.toml").is_file()), Path.cwd())


def figures() -> Path:
    """The folder of the figures that the notebooks draw."""
    return root() / "figures"


def data() -> Path:
    """The folder of the micro problems, the micro checkpoints and the recorded runs."""
    return root() / "data"
