"""The shape of every notebook; that it runs and shows what it showed is nbval's to check."""

import ast
import re
import sys
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner
from IPython.core.interactiveshell import InteractiveShell
from nbformat import NotebookNode
from papermill import inspect_notebook
from papermill.cli import papermill

from tts_study.cli.notebooks import check_parameters, parse_value

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
ALLOWED = {"tts_study", "pandas", "IPython", "matplotlib"} | set(sys.stdlib_module_names)
PARAMETER = re.compile(r"\w+: \w+ = [^#]+  # \S.*")  # papermill overlooks a parameter whose annotation has a "|"


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> NotebookNode:
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(notebook: NotebookNode, tag: str) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def test_it_is_valid_and_opens_with_a_title(notebook):
    nbformat.validate(notebook)
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")


def test_one_cell_of_literal_annotated_commented_lines_contains_the_parameters(notebook):
    assert tagged(notebook, "injected-parameters") == []
    (parameters,) = tagged(notebook, "parameters")
    for line in parameters.source.splitlines():
        assert PARAMETER.fullmatch(line), line
        (statement,) = ast.parse(line).body
        ast.literal_eval(statement.value)


def test_every_parameter_is_shown_by_papermill_and_can_be_set_from_a_study(notebook, request):
    path = request.node.callspec.params["notebook"]
    (parameters,) = tagged(notebook, "parameters")
    defaults = {line.split(":")[0]: line.split(" = ")[1].split("  #")[0] for line in parameters.source.splitlines()}
    seen = inspect_notebook(str(path))
    assert list(seen) == list(defaults) and all(parameter["help"] for parameter in seen.values())
    shown = CliRunner().invoke(papermill, ["--help-notebook", str(path)]).output
    for name, default in defaults.items():
        assert f"  {name}: " in shown, "what `papermill --help-notebook` prints"
        given = {name: parse_value(default)}
        assert check_parameters([path], given) == {path: given}, "what `tts-study study -p` hands on"


def test_every_code_cell_was_run_in_order_without_an_error(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]


def test_a_cell_fits_a_screen_and_defines_nothing(notebook):
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= 15, cell.source
        nodes = ast.walk(compile(cell.source, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
        assert not [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]


def test_a_notebook_shows_bad_input_as_one_sentence_without_a_traceback(capsys):
    shell = InteractiveShell()
    shell.run_cell("from tts_study import Study\nStudy('micro', policy='1b').run('best_of_n', 0)")
    shown = capsys.readouterr().out
    assert shown.strip() == "n must be at least 1, and 0 is not: it is the number of generations for each problem"


def test_it_imports_from_the_package_and_little_else(notebook):
    for cell in code_cells(notebook):
        for node in ast.walk(compile(cell.source, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] in ALLOWED
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= ALLOWED
