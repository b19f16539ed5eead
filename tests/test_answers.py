import asyncio
import json
import multiprocessing
import random
import threading
import time
from itertools import combinations
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient

from tts_study import answers
from tts_study.answers import canonical, dropped, equivalent, extract, group, is_correct
from tts_study.answers_text import read_plain
from tts_study.answers_worker import Worker, WorkerLostError
from tts_study.errors import UserError
from tts_study.micro.problems import write_polynomial

ROOT = Path(__file__).resolve().parents[1]
MATH500 = ROOT.parent / "shared" / "data" / "math500.jsonl"

# --- extraction ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{7/6}", "7/6"),
        (r"\boxed{-3+5x}" + "\n", "-3+5x"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"first \boxed{1}, then \boxed{2}.", "2"),
        (r"\fbox{3}", "3"),
        (r"\boxed{1} \fbox{2}", "2"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed {4}", "4"),
        (r"is \boxed 5.", "5"),
        (r"is $\boxed 12$", "12"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{ 9 }", "9"),
        (r"\boxed{3}, as asked in \boxed{}", "3"),
        (r"\boxed{3}, which I put in \boxed.", "3"),
    ],
)
def test_extracts_the_last_box(text, answer):
    assert extract(text) == answer


@pytest.mark.parametrize(
    "text",
    ["", "7/6", r"\boxed", r"\boxed{", r"\boxed{}", r"\boxed{7", r"\boxed{\frac{1}{2}", r"\boxedfoo{3}", "boxed{3}"],
)
def test_no_box_is_no_answer(text):
    assert extract(text) is None


def test_a_box_cut_in_the_middle_is_not_replaced_by_an_earlier_one():
    assert extract(r"x is \boxed{3}, so the sum is \boxed{1") is None


@given(st.text(alphabet="{}\\boxed 1ab", max_size=60))
def test_extraction_gives_balanced_content_or_none(text):
    answer = extract(text)
    assert answer is None or (answer == answer.strip() != "" and answer in text)


# --- equality, by hand ---------------------------------------------------------------------------------------------

EQUAL = [
    # integers and fractions
    ("7/6", "14/12"), ("7/6", r"\frac{7}{6}"), (r"\dfrac{7}{6}", r"\tfrac76"), (r"\frac12", "0.5"), ("1/2", ".5"),
    (r"\frac{-1}{2}", "-1/2"), (r"-\frac{1}{2}", r"\frac{1}{-2}"), ("0", "-0"), ("007", "7"), ("+3", "3"),
    ("5.0", "5"), (r"1\frac{4}{5}", "9/5"), ("1 4/5", "1.8"), (r"137 \frac{1}{2}", "137.5"), (r"\frac9{19}", "9/19"),
    (r"\frac{270}7", "270/7"), ("−5", "-5"), (r"-1\frac{1}{2}", "-1.5"), ("2^3", "8"), ("5!", "120"),
    # separators, currencies, units, decoration
    ("10,080", "10080"), (r"10,\!080", "10080"), ("10{,}080", "10080"), (r"11,\! 111,\! 111,\! 100", "11111111100"),
    ("10 080", "10080"), (r"\$18.90", "18.9"), ("$36$", "36"), (r"30^\circ", "30"), (r"30^{\circ}", "30"),
    ("30°", "30 degrees"), (r"50\%", "50%"), ("50%", "50"), ("5 cm", "5"), (r"15\mbox{ cm}^2", "15"),
    (r"864 \mbox{ inches}^2", "864 square inches"), (r"5.4 \text{ cents}", "5.4"), ("12.", "12"), (r"\(12\)", "12"),
    (r"\left(3,4\right]", "(3, 4]"), (r"\text{even}", "even"), (r"\text{Even}", "even"), (r"\text{(C)}", "C"),
    (r"\mathrm{C}", r"\textbf{(C)}"), ("x=5", "5"), (r"y = -2x", "-2x"), (r"x \in [-2,7]", "[-2,7]"),
    # polynomials and rational functions
    ("5x-3", "-3+5x"), ("8x^2+16x", "16x+8x^2"), ("2x+x", "3x"), ("8x(x+2)", "8x^2+16x"), ("2*x", "2x"),
    ("x^{2}", "x^2"), (r"\frac{11+9a}{20}", r"\frac{9a}{20}+\frac{11}{20}"), ("(a+5)(b+2)", "ab+2a+5b+10"),
    (r"\frac{x^2-1}{x-1}", "x+1"), ("x/2", r"\frac{1}{2}x"), ("x-x", "0"), ("x^{-1}", r"\frac{1}{x}"), ("q-p", "-p+q"),
    # surds, pi, logarithms, complex numbers
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt3}"), (r"3\sqrt{13}", r"\sqrt{117}"),
    (r"11 \sqrt{5} + 11", r"11(1+\sqrt5)"),
    (r"\sqrt{4}", "2"), (r"\sqrt2\cdot\sqrt3", r"\sqrt{6}"), (r"18+2\pi", r"2(\pi+9)"), ("π/2", r"\frac{\pi}{2}"),
    (r"\log_2 8", "3"), (r"\cos(\pi/3)", "1/2"), ("6+9i", "9i+6"), ("i^2", "-1"), (r"\sqrt{-4}", "2i"),
    (r"\cot x", r"\frac{\cos x}{\sin x}"), (r"\sin^2 x+\cos^2 x", "1"), (r"e^{i\pi}", "-1"), (r"\ln e", "1"),
    # sets, tuples, intervals, matrices, relations
    ("1,-2", "-2,1"), (r"\{1,2\}", "2, 1"), ("3 and 5", "5, 3"), (r"x=1 \text{ or } x=2", "1,2"), ("x=1, 2", "2,1"),
    (r"3 \pm 2\sqrt{2}", r"3-2\sqrt2, 3+2\sqrt2"), (r"\{1\pm\sqrt{5},-2\}", r"\{-2,1-\sqrt{5},1+\sqrt{5}\}"),
    (r"( 3, \frac{\pi}{2})", r"\left(3,\pi/2\right)"), (r"(-\infty,2) \cup (3,\infty)", r"(3,\infty)\cup(-\infty,2)"),
    (r"\begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix}", r"\begin{bmatrix}0.2\\-3.6\end{bmatrix}"),
    ("x<3", "3>x"), ("2x<6", "x<3"), (r"x \le 3", "x ≤ 3"), ("5x-7y+4=0", "-10x+14y=8"), (r"52_8", "52_{8}"),
    (r"2\le x\le 5", r"5\ge x\ge 2"), (r"\infty", "infinity"),
]  # fmt: skip

UNEQUAL = [
    ("7/6", "6/7"), ("7", "-7"), ("1/3", "0.3333"), (r"\pi", "3.14159"), ("9%", "0.09"), ("1,2", "12"),
    ("10,80", "1080"),
    ("(1,2)", "(2,1)"), ("(3,4]", "(3,4)"), ("[3,4]", "(3,4)"), ("1,2", "(1,2)"), ("1,2", "1,2,3"), ("5x-3", "3-5x"),
    ("5x-3", "5x+3"), ("5x", "5y"), ("x^2", "x^3"), ("x^2", "2x"), ("5h", "5"), ("2k", "2"), ("6+9i", "6-9i"),
    (r"\sqrt{2}", "1.41421356237309504880"), (r"\sqrt{3}", r"\sqrt{2}"), (r"\sqrt{x^2}", "x"), (r"\cot x", r"\tan x"),
    ("even", "odd"), ("A", "B"), ("east", "west"), ("seat", "east"), ("52_8", "52"), ("52_8", "52_9"),
    ("x<3", r"x\le 3"),
    ("x<3", "x>3"), ("x=3", "x<3"), ("a=1,b=2", "a=2,b=1"), ("x+y=1", "x+y=2"), (r"1\frac{4}{5}", "14/5"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}2\\1\end{pmatrix}"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&3\\2&4\end{pmatrix}"),
    ("(2,12) \\cup (12,102)", "(2,102)"), (r"1\pm\sqrt{2}", r"1+\sqrt2"), ("10^{40}", "10^{40}+1"),
    (r"\frac{1}{x}", "x"), ("y=2x", "y=3x"), (r"\infty", r"-\infty"), ("12", "1 2"),
    ("0.1", "0.10000000000000000000001"),
]  # fmt: skip

NO_VALUE = [
    "", " ", "$$", ".", "{", "1}", "(1", "1)", "7/", "*3", "3x+-", "3+*5", "3-", "=", "1 2", "(1,)", ",", "1/2=2/4",
    "1/0", r"\frac{0}{0}", r"\infty-\infty", "\x001", "1\x07", "2" * 3000, r"\sqrt{" * 250 + "2" + "}" * 250,
    r"\frac" * 390,
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_equal(a, b):
    assert canonical(a) == canonical(b) is not None
    assert equivalent(a, b) and equivalent(b, a) and is_correct(a, b)
    assert group([a, b]) == [0, 0]


@pytest.mark.parametrize(("a", "b"), UNEQUAL)
def test_unequal(a, b):
    assert not equivalent(a, b) and not equivalent(b, a) and not is_correct(a, b)


@pytest.mark.parametrize("answer", NO_VALUE)
def test_what_cannot_be_read_is_no_answer(answer):
    assert canonical(answer) is None
    assert group([answer, answer]) == [-1, -1]
    assert equivalent(answer, answer) and not is_correct(answer, answer)


def test_no_answer_is_never_correct():
    assert not is_correct(None, "5")


def test_groups_are_numbered_in_order_of_first_appearance():
    assert group(["7", None, "1/2", "0.5", "{", "7.0", r"\frac12"]) == [0, -1, 1, 1, -1, 0, 1]


def test_large_integers_are_exact():
    assert canonical("9" * 1000) == "9" * 1000
    assert not equivalent("9" * 1000, "9" * 999 + "8")


# --- properties ----------------------------------------------------------------------------------------------------

WILD = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="0123456789+-*/^=(){}[],.x\\ $%", max_size=12),
    st.lists(st.sampled_from([*"0123456789xyi+-*/^=,(){}", r"\frac{1}{2}", r"\sqrt", r"\pi", r"\pm", r"\text{a}", "or",
                              r"\{", r"\}", r"\cup", " "]), max_size=6).map("".join),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(WILD, min_size=1, max_size=4))
def test_equality_of_wild_strings_is_an_equivalence_relation(texts):
    numbers = group(texts)
    for text in texts:
        assert equivalent(text, text)
    for (i, a), (j, b) in combinations(enumerate(texts), 2):
        assert equivalent(a, b) == equivalent(b, a)
        assert (numbers[i] == numbers[j] != -1) == is_correct(a, b)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(-99, 99), min_size=1, max_size=5))
def test_both_ways_to_write_a_micro_polynomial_are_equal(coefficients):
    descending = write_polynomial(tuple(coefficients))
    assert canonical(descending) == canonical(write_polynomial(tuple(coefficients), ascending=True)) is not None
    other = (*coefficients[:-1], coefficients[-1] + 1)
    assert not equivalent(descending, write_polynomial(other))


NUMBER = st.one_of(
    st.integers(0, 10**6).map(str),
    st.decimals(0, 100, places=3).map(str),
    st.tuples(st.integers(0, 99), st.integers(1, 99)).map(lambda p: rf"\frac{{{p[0]}}}{{{p[1]}}}"),
)
TERM = st.builds("{}{}".format, NUMBER, st.sampled_from(["", "x", "x^2", "x^{12}"]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("+-"), TERM), min_size=1, max_size=4))
def test_the_plain_grammar_and_math_verify_agree(terms):
    from tts_study.answers_symbolic import read

    text = "".join(sign + term for sign, term in terms)
    assert read_plain(text) == read(text) is not None


# --- hostile input -------------------------------------------------------------------------------------------------

HOSTILE = [
    r"9^{9^{9^9}}", r"10^{10^{10}}!", r"10^{-10^{10}}", r"2^{1000000000}", r"x^{x^{x^{x^{x}}}}", "1" + "!" * 300,
    r"\sum_{n=1}^{10^9} \frac{1}{n^2+n\sqrt{n}}", r"\prod_{k=1}^{10^8} (k+\pi)", r"\int_0^1 e^{e^{x^x}} dx",
    r"(x+y+z+a+b+c)^{400}", r"\zeta(1+10^{-9})^{10^9}", r"\binom{10^9}{5\cdot 10^8}", "9" * 10_000, "x" * 1999,
    "{" * 100_000, "{" * 50_000 + "}" * 50_000, "(" * 900 + "1" + ")" * 900, r"\sqrt{" * 250 + "2" + "}" * 250,
    r"\frac{" * 200 + "1" + "}{2}" * 200, r"\begin{pmatrix}" + r"1&2\\" * 250 + r"\end{pmatrix}", "1+" * 999 + "1",
    "," * 1500, r"\pm" * 600, r"\text{" * 300, r"\frac" * 390, " " * 100_000, "\x00\x1b[2J", "\ud800",
    r"\input{/etc/passwd}", r"\write18{ls}",
]  # fmt: skip


@pytest.fixture(scope="module")
def impatient_worker():
    worker = Worker("tts_study.answers_symbolic", limit_s=0.5, memory_mib=512)
    yield worker
    worker.close()


@pytest.mark.parametrize("answer", HOSTILE, ids=lambda answer: ascii(answer[:24]))
def test_hostile_answers_end_in_time(answer, impatient_worker, monkeypatch):
    monkeypatch.setattr(answers, "_worker", impatient_worker)
    impatient_worker.start()  # a replaced worker's start is not the answer's time
    start = time.monotonic()
    form = canonical(answer)
    boxed = extract(rf"\boxed{{{answer}}}")
    assert time.monotonic() - start < 0.5 + 3.0  # the limit, and what a busy machine adds
    assert form is None or len(form) < 10_000
    assert boxed is None or canonical(boxed) == form


def test_python_code_is_not_run(tmp_path):
    touched = tmp_path / "touched"
    code = f"__import__('os').system('touch {touched}')"
    for answer in (code, rf"\text{{{code}}}", f"1+{code}", rf"\frac{{{code}}}{{2}}"):
        canonical(answer)
    assert not touched.exists()


def test_an_answer_over_the_limit_is_counted_and_the_worker_replaced(caplog):
    before = dropped["timed out"]
    answers._worker.start()
    start = time.monotonic()
    with caplog.at_level("INFO", logger=answers.__name__):
        assert canonical(r"9^{9^{9^{9}}}+1") is None
    assert time.monotonic() - start < 2.0 + 3.0
    assert dropped["timed out"] == before + 1
    assert "timed out" in caplog.text
    assert equivalent(r"\sqrt{8}", r"2\sqrt{2}")


@pytest.fixture
def small_worker():
    worker = Worker("tts_study.answers_symbolic", limit_s=20.0, memory_mib=64)
    yield worker
    worker.close()


def test_a_worker_out_of_memory_is_replaced(small_worker):
    with pytest.raises(WorkerLostError, match="memory"):
        small_worker.ask(r"2^{2000000000}")
    assert small_worker.ask(r"\sqrt{4}") == "2"


def test_a_worker_that_does_not_start_says_so():
    worker = Worker("tts_study.no_such_module", limit_s=2.0, memory_mib=64)
    with pytest.raises(UserError, match="no_such_module"):
        worker.ask("1")


# --- wherever it is called from ------------------------------------------------------------------------------------


def test_micro_answers_need_no_worker(monkeypatch):
    monkeypatch.setattr(answers, "_worker", None)
    canonical.cache_clear()
    assert group(["7/6", "14/12", "-3+5x", "5x-3", "8x^2+16x", "16x+8x^2", "-42"]) == [0, 0, 1, 1, 2, 2, 3]


def test_works_from_threads():
    results = []
    texts = [(rf"\sqrt{{{4 * k}}}+x", rf"x+2\sqrt{{{k}}}") for k in range(2, 10)]
    threads = [threading.Thread(target=lambda pair=pair: results.append(equivalent(*pair))) for pair in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * len(texts)


def test_works_and_is_bounded_inside_a_running_event_loop():
    async def grade():
        return is_correct(r"\sqrt{12}+y", r"2\sqrt{3}+y"), canonical(r"8^{9^{9^9}}")

    assert asyncio.run(grade()) == (True, None)


def _equal_in_fork(queue):
    queue.put(equivalent(r"\sqrt{18}+z", r"3\sqrt{2}+z"))


def test_works_in_a_forked_process():
    assert equivalent(r"\sqrt{50}", r"5\sqrt{2}")  # the parent's worker runs
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_equal_in_fork, args=(queue,))
    process.start()
    assert queue.get(timeout=60) is True
    process.join()
    assert equivalent(r"\sqrt{75}", r"5\sqrt{3}")


def test_works_in_a_notebook():
    cell = nbformat.v4.new_code_cell(
        "from tts_study.answers import canonical\n"
        r"print(canonical(r'\sqrt{4}+1'), canonical(r'9^{9^{9^9}}'))"
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    assert notebook.cells[0].outputs[0].text == "3 None\n"


# --- real answers --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def math500():
    if not MATH500.exists():
        pytest.skip(f"MATH-500 is not at {MATH500}")
    return [json.loads(line) for line in MATH500.read_text().splitlines()]


def test_every_math500_answer_can_be_read_and_found_in_its_box(math500):
    for row in math500:
        gold = row["answer"]
        assert is_correct(gold, gold), gold
        assert extract(rf"Hence \(\boxed{{1}}\) and the answer is $\boxed{{{gold}}}$.") == gold


def test_every_math500_solution_is_graded_right(math500):
    for row in math500:
        assert is_correct(extract(row["solution"]), row["answer"]), row["answer"]


def test_math500_answers_of_different_value_stay_apart(math500):
    same: dict[str, set[str]] = {}
    for row in math500:
        same.setdefault(canonical(row["answer"]), set()).add(row["answer"].replace(" ", ""))
    assert sorted(sorted(texts) for texts in same.values() if len(texts) > 1) == sorted(map(sorted, (
        (r"90^\circ", "90"), ("5", "x=5"), ("1,-2", "-2,1"), (r"120^\circ", "120"), ("36", r"36^\circ", r"\$36"),
        (r"\frac{1}{4}", r"\frac14"), (r"30^\circ", "30"), (r"10,\!080", "10080"), ("15", r"15\mbox{cm}^2"),
    )))  # fmt: skip


def test_grouping_a_study_of_micro_answers_is_fast():
    rng = random.Random(0)
    texts = [write_polynomial((rng.randint(1, 9), rng.randint(-9, 9))) for _ in range(32_000)]
    start = time.monotonic()
    group(texts)
    assert time.monotonic() - start < 5.0
