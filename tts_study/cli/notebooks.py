"""Run the study's notebooks with Papermill, with new searches: what `tts-study study` and `make study` do."""

import ast
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tts_study import paths
from tts_study.errors import UserError


def run_notebooks(out: Path, wanted: Sequence[str] = (), parameters: Mapping[str, Any] | None = None) -> list[Path]:
    """Execute notebooks in order, one progress line each, into OUT/notebooks; their figures and tables go there too.

    Args:
        out: where everything goes: notebooks/, figures/ (figures and the tables behind them), runs/.
        wanted: beginnings of notebooks' names, such as "01"; all if empty.
        parameters: values for the notebooks' parameters; each must be known to one of them at least.

    Returns:
        The executed notebooks.

    Raises:
        UserError: there is no such notebook or parameter, a value has the wrong type, or a notebook refuses one.
    """
    notebooks = find_notebooks(paths.root() / "notebooks", wanted)
    given = check_parameters(notebooks, dict(parameters or {}))
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    os.environ[paths.OUT] = str(out.resolve())  # the notebooks' kernels inherit it
    _use_this_python(out / "jupyter")
    return [_run(notebook, out / "notebooks" / notebook.name, given[notebook]) for notebook in notebooks]


def _use_this_python(folder: Path) -> None:
    """Make the kernel "python3" this environment's, whatever the user has installed under that name."""
    from ipykernel.kernelspec import write_kernel_spec

    write_kernel_spec(str(folder / "kernels" / "python3"), overrides={"name": "python3"})
    before = os.environ.get("JUPYTER_PATH")
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (str(folder.resolve()), before)))


def find_notebooks(folder: Path, wanted: Sequence[str]) -> list[Path]:
    """A folder's notebooks whose names begin as wanted, in order.

    Raises:
        UserError: one that is wanted is not there.
    """
    everything = sorted(folder.glob("*.ipynb"))
    if not everything:
        raise UserError(f"there are no notebooks in {folder}: run from a checkout of the project")
    for beginning in wanted:
        if not any(path.name.startswith(beginning) for path in everything):
            names = ", ".join(path.stem for path in everything)
            raise UserError(f"no notebook begins with {beginning!r}: choose from {names}")
    return [path for path in everything if not wanted or path.name.startswith(tuple(wanted))]


def check_parameters(notebooks: Sequence[Path], given: Mapping[str, Any]) -> dict[Path, dict[str, Any]]:
    """Which of the given parameters each notebook takes. Papermill itself only warns about one that none takes.

    Raises:
        UserError: a parameter is unknown to all of them, or its value is not of its default's type.
    """
    from papermill import inspect_notebook

    known = {path: inspect_notebook(str(path)) for path in notebooks}
    names = {name: parameter for parameters in known.values() for name, parameter in parameters.items()}
    for name, value in given.items():
        if name not in names:
            raise UserError(f"no notebook has a parameter {name!r}: choose one of {', '.join(names)}")
        default = ast.literal_eval(names[name]["default"])
        if default is not None and type(value) is not type(default) and (type(value), type(default)) != (int, float):
            raise UserError(f"{name} = {value!r} is a {type(value).__name__}, not a {type(default).__name__}")
    return {path: {name: value for name, value in given.items() if name in known[path]} for path in notebooks}


def parse_value(text: str) -> Any:
    """A parameter's value as typed in a shell: a Python literal (16, 0.7, True) or else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _run(notebook: Path, executed: Path, parameters: Mapping[str, Any]) -> Path:
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    try:
        execute_notebook(
            str(notebook), str(executed), parameters, kernel_name="python3", cwd=str(notebook.parent),
            progress_bar={"desc": notebook.stem},
        )  # fmt: skip
    except PapermillExecutionError as error:
        where = f"notebook {notebook.stem}, cell {error.cell_index}"
        if error.ename == "UserError":
            raise UserError(f"{where}: {error.evalue}") from None
        raise RuntimeError(f"{where} failed with {error.ename}: {error.evalue}; see {executed}") from error
    return executed
