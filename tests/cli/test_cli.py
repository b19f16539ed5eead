"""The command line, with scripted engines in place of vLLM's: bad input is one line and exit code 2."""

import asyncio
import json
import os
import signal
import subprocess
import sys

import nbformat
import pytest
from scripted_engines import ScriptedPolicy, ScriptedPRM

import benchmarks.cli
from tts_study import cli, paths
from tts_study.cli.solve import tree_lines
from tts_study.errors import UserError
from tts_study.micro import cli as micro_cli
from tts_study.records import Cost, Node, SearchResult
from tts_study.runs.engines import ENGINES

ROW = {"unique_id": "a", "problem": "1+1?", "answer": "2"}


class Policy(ScriptedPolicy):
    """Knows one problem's answer, is wrong about another, and has no room for a third."""

    def prompt(self, problem):
        if "too long" in problem.text:
            raise UserError("A prompt of 600 tokens does not fit the context of 512 tokens.")
        return super().prompt(problem)


@pytest.fixture
def engines(monkeypatch):
    async def of(profile, *, needs_prm):
        return Policy({"": [r"\boxed{2}", r"\boxed{3}"]}), ScriptedPRM({r"\boxed{2}": 0.9, r"\boxed{3}": 0.1})

    monkeypatch.setattr(ENGINES, "of", of)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(ROW | {"unique_id": name}) + "\n" for name in "abc"))
    return path


def refused(capsys, *argv, **program) -> str:
    assert cli.main([str(argument) for argument in argv], **program) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{program.get('prog', 'tts-study')}: ")
    return line


def run(data, out, *more, n=2, strategy="best_of_n"):
    models = ("--policy", data.parent, "--prm", data.parent)
    return ("run", "--dataset", data, *models, "--strategy", strategy, "--n", n, "--out", out, *more)


def test_a_run_tells_accuracy_tokens_and_place(engines, capsys, data, tmp_path):
    assert cli.main([str(argument) for argument in run(data, tmp_path / "out")]) == 0
    message = capsys.readouterr().out
    assert "best_of_n, n = 2, 3 problems: accuracy 100.0% (95 % interval 100.0% to 100.0%)" in message
    assert "12 tokens generated" in message
    assert str(tmp_path / "out" / "run.jsonl") in message


def test_every_setting_has_an_option(engines, data, tmp_path):
    argv = run(
        data, tmp_path / "out", "--temperature", "0.5", "--set", "max_step_tokens=9", "--ids", "b,c", "--problems", "1"
    )
    assert cli.main([str(argument) for argument in argv]) == 0
    header, *lines = (tmp_path / "out" / "run.jsonl").read_text().splitlines()
    settings = json.loads(header)["settings"]
    assert (settings["temperature"], settings["max_step_tokens"]) == (0.5, 9)
    assert [json.loads(line)["problem"]["id"] for line in lines] == ["b"]


@pytest.mark.parametrize("strategy", ["beam_search", "dvts"])
def test_a_search_runs_and_keeps_its_tree(engines, capsys, data, tmp_path, strategy):
    argv = run(data, tmp_path / "out", "--beam-width", 2, n=4, strategy=strategy)
    assert cli.main([str(argument) for argument in argv]) == 0
    assert f"{strategy}, n = 4, 3 problems: accuracy 100.0%" in capsys.readouterr().out
    header, line, *_ = (tmp_path / "out" / "run.jsonl").read_text().splitlines()
    assert json.loads(header)["search"]["beam_width"] == 2
    assert len(json.loads(line)["tree"]["text"]) == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--profile", "macro"], "unknown profile 'macro': choose one of micro, llama"),
        (["--strategy", "best_of_m"], "unknown strategy 'best_of_m': choose one of greedy"),
        (["--policy", "no/such/folder"], "unknown policy 'no/such/folder': choose one of 1b"),
        (["--prm", "no/such/folder"], "there is no model in 'no/such/folder'"),
        (["--n", "0"], "n must be at least 1, and 0 is not"),
        (["--n", "two"], "argument --n: it must be a whole number, and 'two' is not"),
        (["--strategy", "greedy"], "n must be 1, and 2 is not"),
        (["--strategy", "dvts", "--beam-width", "3"], "n must be a multiple of 3, and 2 is not"),
        (["--strategy", "beam_search", "--lookahead", "-1"], "lookahead must be at least 0, and '-1' is not"),
        (["--problems", "0"], "the number of problems must be at least 1"),
        (["--levels", "5"], "no problem has the level '5': the data set states none"),
        (["--ids", "a,z"], "no problem has the id 'z': choose from a, b, c"),
        (
            ["--problem-column", "question"],
            "line 1 has no 'question': its columns are 'unique_id', 'problem', 'answer'",
        ),
        (["--temperature", "hot"], "temperature must be a number"),
        (["--set", "max_tokens"], "--set needs NAME=VALUE, and 'max_tokens' has no ="),
        (["--set", "beams=4"], "a profile has no setting 'beams'"),
        (["--dataset", "missing.jsonl"], "there is no file missing.jsonl"),
        (["--what"], "unrecognized arguments: --what"),
    ],
)
def test_bad_options_are_reported_in_one_line(engines, capsys, data, tmp_path, more, message):
    assert message in refused(capsys, *run(data, tmp_path / "out", *more))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("micro train --jobs 0", "argument --jobs: it must be a whole number of at least 1, and '0' is not"),
        ("micro train --seed -1", "argument --seed: it must be a whole number of at least 0, and '-1' is not"),
        ("micro evaluate --seed 1 --problems -1", "argument --problems: it must be a whole number of at least 1"),
        ("micro evaluate --seed 1 --problems 7", "--problems must be a multiple of 20, and 7 is not"),
        ("micro evaluate --seed x", "argument --seed: it must be a whole number of at least 0, and 'x' is not"),
        ("benchmarks engines --problems 0", "argument --problems: it must be a whole number of at least 1"),
        ("benchmarks engines --n 0", "argument --n: it must be a whole number of at least 1"),
        ("benchmarks engines --seed -1", "argument --seed: it must be a whole number of at least 0"),
        ("benchmarks answers --fuzz -5", "argument --fuzz: it must be a whole number of at least 1"),
        ("run --strategy greedy --out out --seed -1", "argument --seed: it must be a whole number of at least 0"),
    ],
)
def test_numbers_that_cannot_be_are_reported_in_one_line(capsys, command, message):
    first, *argv = command.split()
    if first == "run":
        assert message in refused(capsys, first, *argv)
    else:
        program = {"benchmarks": benchmarks.cli, "micro": micro_cli}[first]
        assert message in refused(capsys, *argv, prog=program.PROG, add_commands=program.add_commands)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"problem": "1+1?"}', "line 2 has no 'answer'"),
        ('{"answer": "2"}', "line 2 has no 'problem'"),
        ("", "line 2 is empty"),
        ('{"problem": ', "line 2 is not JSON"),
    ],
)
def test_a_broken_data_file_is_reported_in_one_line(engines, capsys, tmp_path, line, message):
    data = tmp_path / "problems.jsonl"
    data.write_text(f"{json.dumps(ROW)}\n{line}\n")
    assert f"{data}, {message}" in refused(capsys, *run(data, tmp_path / "out"))


def test_a_folder_that_contains_another_run_is_reported_with_what_differs(engines, capsys, data, tmp_path):
    assert cli.main([str(argument) for argument in run(data, tmp_path / "out")]) == 0
    capsys.readouterr()
    message = refused(capsys, *run(data, tmp_path / "out", "--seed", "1", "--top-p", "0.5"))
    assert "contains another run: seed is 0 there and 1 here; settings.top_p is 1.0 there and 0.5 here" in message


def test_a_prompt_without_room_is_reported_and_the_rest_is_kept(engines, capsys, data, tmp_path):
    with data.open("a") as file:
        file.write(json.dumps(ROW | {"unique_id": "d", "problem": "too long"}) + "\n")
    assert cli.main([str(argument) for argument in run(data, tmp_path / "out")]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("tts-study: 1 of 4 problems failed, problem d first: A prompt of 600 tokens does not fit")
    assert len((tmp_path / "out" / "run.jsonl").read_text().splitlines()) == 1 + 3


@pytest.mark.parametrize("engines_die_too", [False, True])
def test_an_interrupted_command_says_how_to_go_on(monkeypatch, capsys, data, tmp_path, engines_die_too):
    class Interrupted(Policy):
        async def complete(self, prefix, *, n, seed, temperature=None):
            if len(self.requests) == 2:
                await asyncio.sleep(0.5)  # the other two problems are done by then
                os.kill(os.getpid(), signal.SIGINT)
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    if engines_die_too:
                        raise UserError("The engine died.") from None
                    raise
            return await super().complete(prefix, n=n, seed=seed, temperature=temperature)

    async def of(profile, *, needs_prm):
        return Interrupted({"": [r"\boxed{2}"]}), ScriptedPRM({r"\boxed{2}": 0.9})

    monkeypatch.setattr(ENGINES, "of", of)
    assert cli.main([str(argument) for argument in run(data, tmp_path / "out")]) == 130
    assert "the same command resumes" in capsys.readouterr().err
    assert len((tmp_path / "out" / "run.jsonl").read_text().splitlines()) == 1 + 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_before_a_command_begins_or_after_it_ends_the_process_without_a_word():
    interrupted = "os.kill(os.getpid(), signal.SIGINT)"
    restored = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # behind a shell's & it is ignored
    code = f"import os, signal; {restored}; from tts_study import cli; cli.main = lambda: {interrupted}; cli.script()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
    assert "tts_study.strategies" not in imported_by("import tts_study.cli"), "so that this begins at once"


def imported_by(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()


def test_a_tree_of_any_depth_is_printed_without_a_limit():
    deep = [Node(i - 1 if i else None, f"s{i}", 1, 0.5, 0.5, "kept") for i in range(2000)]
    nodes = (*deep, Node(0, "no", 1, 0.1, 0.1, "pruned"), Node(None, "end", 1, None, 0.2, "finished"))
    lines = list(tree_lines(SearchResult("p", (), Cost(), nodes)))
    assert lines[:2] == ["0.500 kept     s0", "  0.500 kept     s1"] and lines[1999].endswith("s1999")
    assert lines[2000:] == ["  (1 pruned or repeated)", "  -   finished end"]


def test_solve_prints_the_answer_its_support_and_no_tree_for_samples(engines, capsys, data):
    models = ("--policy", data.parent, "--prm", data.parent)
    assert cli.main([str(argument) for argument in ("solve", "1+1?", *models, "--n", 3)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "answer: 2"
    assert [line.split() for line in lines[3:6]] == [
        ["answer", "completions", "best_score", "sum_of_scores"], ["2", "2", "0.900", "1.800"],
        ["3", "1", "0.100", "0.100"],
    ]  # fmt: skip
    assert lines[6:] == ["0 of 3 completions give no answer"]


def test_solve_prints_the_tree_of_a_search(engines, capsys, data):
    models = ("--policy", data.parent, "--prm", data.parent)
    asked = ("solve", "1+1?", *models, "--strategy", "dvts", "--n", 4)
    assert cli.main([str(argument) for argument in asked]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "answer: 2"
    assert r"0.900 finished \boxed{2}" in lines
    assert lines[-1] == "(2 pruned or repeated)"


def test_solve_without_a_prm_shows_votes_alone(engines, capsys, data):
    asked = ("solve", "1+1?", "--policy", data.parent, "--strategy", "majority", "--n", 3)
    assert cli.main([str(argument) for argument in asked]) == 0
    assert capsys.readouterr().out.splitlines()[3].split() == ["answer", "completions"]


def test_solve_says_on_one_line_what_it_cannot_do(engines, capsys, data):
    models = ("--policy", data.parent, "--prm", data.parent)
    assert "must be a multiple of 4" in refused(capsys, "solve", "1+1?", *models, "--strategy", "dvts", "--n", 3)
    assert "does not fit the context" in refused(capsys, "solve", "too long", *models)


def test_the_installed_command_exits_with_2_and_no_traceback():
    made = subprocess.run(
        [sys.executable, "-m", "tts_study.cli", "run", "--profile", "macro", "--strategy", "greedy", "--out", "x"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (made.returncode, made.stdout) == (2, "")
    known = "micro, llama, qwen2.5, qwen2.5-math, smollm2"
    assert made.stderr == f"tts-study: unknown profile 'macro': choose one of {known}\n"


def test_grading_counts_right_wrong_and_unreadable_answers(capsys, tmp_path):
    path = tmp_path / "answers.jsonl"
    rows = [
        {"answer": "1/2", "prediction": r"\frac{2}{4}"},
        {"answer": "1/2", "completion": r"So \boxed{0.5}"},
        {"answer": "1/2", "prediction": "1/3"},
        {"answer": "1/2", "completion": "I do not know."},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert cli.main(["grade", str(path)]) == 0
    message = capsys.readouterr().out
    assert message == "4 graded: 2 correct, 1 wrong, 1 without a readable answer (0 timed out); accuracy 50.0%\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "contains no answers"),
        ('{"answer": "1"}\n', 'line 1: a line needs the texts "answer" and "prediction" or "completion"'),
        ('{"prediction": "1"}\n', "line 1: a line needs"),
        ("\n", "line 1 is empty"),
    ],
)
def test_a_file_that_cannot_be_graded_is_reported(capsys, tmp_path, content, message):
    path = tmp_path / "answers.jsonl"
    path.write_text(content)
    assert message in refused(capsys, "grade", path)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with two notebooks, one of which tells what it was given and where to draw."""
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    monkeypatch.setenv(paths.OUT, "")  # so that what the command sets is taken back
    parameters = (
        'profile: str = "micro"\nprofile_options: str = ""\n'
        "n: int = 4\ntop_p: float = 1.0\nfresh: bool = False"
    )
    body = (
        "from tts_study import load_profile, paths\nfrom tts_study.errors import UserError\n"
        "if n == 0: raise UserError('n must be at least 1')\nprint(profile, n, top_p, fresh, paths.figures())\n"
        "if profile_options: print(load_profile(profile, profile_options))"
    )
    (tmp_path / "notebooks").mkdir()
    for name, source in (("00_first", body), ("01_second", "n")):
        cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
                 nbformat.v4.new_code_cell(source)]  # fmt: skip
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {
            "name": "python3", "display_name": "Python 3", "language": "python"}})  # fmt: skip
        nbformat.write(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
    return tmp_path


def test_a_study_runs_notebooks_with_fresh_search_into_its_folder(project, tmp_path):
    out = tmp_path / "out"
    assert cli.main(["study", "--out", str(out), "-p", "n", "8", "-p", "top_p", "1"]) == 0
    assert [path.name for path in sorted((out / "notebooks").iterdir())] == ["00_first.ipynb", "01_second.ipynb"]
    executed = nbformat.read(out / "notebooks" / "00_first.ipynb", as_version=4)
    (printed,) = executed.cells[-1].outputs
    assert printed.text == f"micro 8 1 True {out / 'figures'}\n"


def test_a_study_hands_the_profiles_options_to_its_notebooks(project, data, tmp_path, monkeypatch):
    monkeypatch.chdir(data.parent)  # the notebooks run in another folder
    asked = ["study", "--out", "out", "--notebooks", "00", "--policy", "3b", "--dataset", data.name]
    assert cli.main([*asked, "--set", "chat_template={{ 'a b' }}", "--levels", "4,5"]) == 0
    executed = nbformat.read(tmp_path / "out" / "notebooks" / "00_first.ipynb", as_version=4)
    message = executed.cells[-1].outputs[0].text
    for field in ("policy='3b'", f"dataset='{data}'", """chat_template="{{ 'a b' }}\"""", "dataset_levels='4,5'"):
        assert field in message


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["-p", "m", "8"], "no notebook has a parameter 'm': choose one of profile, profile_options, n, top_p, fresh"),
        (["-p", "n", "many"], "n = 'many' is a str, not a int"),
        (["-p", "n", "True"], "n = True is a bool, not a int"),
        (["--notebooks", "07"], "no notebook begins with '07': choose from 00_first, 01_second"),
        (["--profile", "macro"], "unknown profile 'macro'"),
        (["--set", "temperature=hot"], "temperature must be a number"),
    ],
)
def test_a_study_that_cannot_be_is_refused_before_it_starts(project, capsys, tmp_path, more, message):
    assert message in refused(capsys, "study", "--out", tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()


def test_bad_input_inside_a_notebook_is_reported_in_one_line(project, capsys, tmp_path):
    assert cli.main(["study", "--out", str(tmp_path / "out"), "--notebooks", "00", "-p", "n", "0"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("tts-study: notebook 00_first, cell ")
    assert message.endswith(": n must be at least 1")


def test_a_file_that_cannot_be_written_is_reported_in_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.main(["problems", "--out", str(tmp_path / "file" / "p.jsonl")], add_commands=micro_cli.add_commands) == 2
    message = capsys.readouterr().err
    assert str(tmp_path / "file") in message and len(message.splitlines()) == 1


def test_an_output_that_is_closed_or_full_ends_without_a_traceback(tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"answer": "1", "prediction": "1"}\n' * 2000)
    grade = [sys.executable, "-m", "tts_study.cli", "grade", "--explain", str(pairs)]
    with open("/dev/full", "w") as full:
        made = subprocess.run(grade, stdout=full, stderr=subprocess.PIPE, text=True)
    assert made.returncode == 2
    assert made.stderr.startswith("tts-study: cannot write: No space left on device") and made.stderr.count("\n") == 1
    with subprocess.Popen(grade, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as piped:
        piped.stdout.close()
        assert (piped.stderr.read(), piped.wait()) == (b"", 141)


@pytest.mark.parametrize("option", [["--profile", "x" * 9000], ["--set", f"{'x' * 9000}=1"], ["--policy", "x" * 9000]])
def test_what_was_typed_is_cut_where_it_is_shown(capsys, option):
    assert cli.main(["solve", "1+1", *option]) == 2
    assert len(capsys.readouterr().err) < 2500


def test_a_question_that_is_not_utf8_is_refused_before_an_engine_starts(capsys):
    assert cli.main(["solve", "what is \udcff?"]) == 2
    assert "the question is not UTF-8 text" in capsys.readouterr().err
