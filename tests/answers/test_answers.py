import asyncio
import json
import multiprocessing
import os
import random
import signal
import threading
import time
from itertools import combinations
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from math_verify import parse, verify
from nbclient import NotebookClient

from benchmarks.answers import damaged, fuzz, imitate, load_golds, rewritten, speed
from tts_study import answers
from tts_study.answers import canonical, dropped, equivalent, extract, group, is_correct
from tts_study.answers.memo import Memo, cache_file
from tts_study.answers.parser import Parser
from tts_study.answers.text import read_plain
from tts_study.answers.worker import OverLimitError, Worker
from tts_study.errors import UserError
from tts_study.micro.problems import write_polynomial

ROOT = Path(__file__).resolve().parents[2]
MATH500 = ROOT.parent / "shared" / "data" / "math500.jsonl"
GSM8K = MATH500.with_name("gsm8k_test.jsonl")

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
    ("text", "answer"),
    [
        ("So the answer is 42.", "42"),
        (r"The final answer is $\frac{1}{2}$. I hope it is correct.", r"\frac{1}{2}"),
        ("The answer is 3, I said. No: the answer is 3.5", "3.5"),
        (r"Answer: \(x+1\)", "x+1"),
        ("**Answer:** 12 apples.", "12 apples"),
        ("She makes 9 * 2 = $18.\n#### 18", "18"),
        ("the answer is 7\n#### 1,234\n", "1,234"),
        (r"The answer is 7, in a box \boxed{8}", "8"),
        ("The answer is not what anybody would have expected.", None),
        (r"The answer is 7, in a box \boxed{", None),
        # written by SmolLM2
        ("So, the final answer is 40.\n\nThe answer is determined by a step within that problem.", "40"),
        ("Other than that, Eliza's answer is the same.", None),
        ("We'll leave that answer – 20x – as is.", "20x"),
        ("So the answer would be 2 * (2^3) = 2 * 8 = 16 bolts.", None),
    ],
)
def test_without_a_box_the_answer_is_what_is_said_to_be_it(text, answer):
    assert extract(text) == answer
    if "boxed" not in text:
        assert extract(text, fallback=False) is None


@pytest.mark.parametrize("text", [r"so \boxed 1", "#### 1", "The answer is 1", "The answer is 1."])
def test_what_ends_a_text_that_was_cut_may_lack_its_last_digits(text):
    assert extract(text) == "1"
    assert extract(text, finished=False) == ("1" if text.endswith(".") else None)
    assert extract(f"{text} and then", finished=False) in ("1", "1 and then", None)
    assert extract(f"{text}\n", finished=False) == "1"


def test_a_closed_box_counts_although_the_text_was_cut():
    assert extract(r"\boxed{12}", finished=False) == "12"


@pytest.mark.parametrize(
    "text",
    ["", r"\boxed", r"\boxed{", r"\boxed{}", r"\boxed{7", r"\boxed{\frac{1}{2}", r"\boxedfoo{3}", "boxed{3}"],
)
def test_no_box_is_no_answer(text):
    assert extract(text) is None


@pytest.mark.parametrize("text", ["answer" + " " * 50_000 + ".", r"answer \(" * 50_000, "answer $x" + "y" * 50_000])
def test_time_to_find_an_answer_grows_with_the_text_and_not_its_square(text):
    start = time.process_time()
    extract(text)
    assert time.process_time() - start < 8.0  # squares would take minutes


def test_a_box_cut_in_the_middle_is_not_replaced_by_an_earlier_one():
    assert extract(r"x is \boxed{3}, so the sum is \boxed{1") is None


@given(st.text(alphabet="{}\\boxed 1ab", max_size=60))
def test_extraction_gives_balanced_content_or_none(text):
    answer = extract(text)
    assert answer is None or (answer == answer.strip() != "" and answer in text)


# --- equality, by hand ---------------------------------------------------------------------------------------------

PAIRS = [json.loads(line) for line in (Path(__file__).with_name("answer_pairs.jsonl")).read_text().splitlines()]

NO_VALUE = [
    "", " ", "$$", ".", "{", "1}", "(1", "1)", "7/", "*3", "3x+-", "3+*5", "3-", "=", "1 2", "(1,)", ",",
    "1/0", r"\frac{0}{0}", r"\infty-\infty", "\x001", "1\x07", "2" * 3000, r"\sqrt{" * 250 + "2" + "}" * 250,
    r"\frac" * 390,
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair['a']} and {pair['b']}")
def test_pairs_get_the_verdict_that_they_got_by_hand(pair):
    a, b, equal = pair["a"], pair["b"], pair["equal"]
    assert equivalent(a, b) == equivalent(b, a) == is_correct(a, b) == equal == pair["ours"]
    first, second = group([a, b])
    assert first == 0 and (second == 0) == equal


def test_math_verify_disagrees_where_the_table_says_so_and_why():
    for pair in PAIRS:
        a, b = (parse(f"${text}$", parsing_timeout=None) for text in (pair["a"], pair["b"]))
        assert verify(a, b, timeout_seconds=None) == pair["math_verify"], pair
        assert ("why" in pair) == (pair["math_verify"] != pair["ours"]), pair
    assert len({(pair["a"], pair["b"]) for pair in PAIRS}) == len(PAIRS) >= 150


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
    from tts_study.answers.symbolic import read

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
    r"\input{/etc/passwd}", r"\write18{ls}", "1:" * 900, r"\langle" * 200, "7 " * 900, "a e" * 600, "0." * 900,
    "{" * 900 + "}" * 900, r"0.\overline{" + "3" * 1500 + "}", "1e999", "5" + " million" * 200, "1^" * 900,
]  # fmt: skip


SLACK_S = 8.0  # a busy machine gives a process less time than passes


@pytest.fixture(scope="module")
def impatient_worker():
    worker = Worker("tts_study.answers.symbolic", limit_s=0.5, memory_mib=512)
    yield worker
    worker.close()


@pytest.mark.parametrize("answer", HOSTILE, ids=lambda answer: ascii(answer[:24]))
def test_hostile_answers_end_in_time(answer, impatient_worker, monkeypatch):
    monkeypatch.setattr(answers._parser, "worker", impatient_worker)
    impatient_worker.start()  # a replaced worker's start is not the answer's time
    start = time.monotonic()
    form = canonical(answer)
    boxed = extract(rf"\boxed{{{answer}}}")
    assert time.monotonic() - start < 0.5 + SLACK_S
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
    answers._parser.worker.start()
    start = time.monotonic()
    with caplog.at_level("INFO", logger=answers.__name__):
        assert canonical(r"9^{9^{9^{9}}}+1") is None
    assert time.monotonic() - start < 2.0 + SLACK_S
    assert dropped["timed out"] == before + 1
    assert "timed out" in caplog.text
    assert equivalent(r"\sqrt{8}", r"2\sqrt{2}")


@pytest.fixture
def small_worker():
    worker = Worker("tts_study.answers.symbolic", limit_s=20.0, memory_mib=64)
    yield worker
    worker.close()


def test_a_worker_out_of_memory_is_replaced(small_worker):
    with pytest.raises(OverLimitError, match="memory"):
        small_worker.ask(r"2^{2000000000}")
    assert small_worker.ask(r"\sqrt{4}") == "2"


def test_time_in_which_the_worker_could_not_run_does_not_count():
    worker = Worker("tts_study.answers.symbolic", limit_s=0.3, memory_mib=512)
    worker.start()
    os.kill(worker._process.pid, signal.SIGSTOP)
    threading.Timer(0.6, os.kill, (worker._process.pid, signal.SIGCONT)).start()
    assert worker.ask(r"\sqrt{4}") == "2"
    worker.close()


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_is_killed_or_stopped_is_replaced_and_asked_again(fault):
    worker = Worker("tts_study.answers.symbolic", limit_s=0.3, memory_mib=512)
    worker.start()
    os.kill(worker._process.pid, fault)
    assert worker.ask(r"\sqrt{4}") == "2"
    worker.close()


def test_a_worker_that_is_always_lost_ends_the_grading_and_no_verdict_is_kept(monkeypatch):
    parser = Parser()
    monkeypatch.setattr("tts_study.answers.worker.PATIENCE", (0.1, 0.1, 0.1))
    running = parser.worker._running

    def stopped():
        process = running()
        os.kill(process.pid, signal.SIGSTOP)
        return process

    monkeypatch.setattr(parser.worker, "_running", stopped)
    with pytest.raises(UserError, match="lost 3 times"):
        parser.ask(r"\sqrt{28}+\pi")
    assert r"\sqrt{28}+\pi" not in parser.memo
    parser.worker.close()


@pytest.mark.parametrize("fault", [OSError(24, "Too many open files"), RuntimeError("can't start new thread")])
def test_a_worker_for_which_the_system_has_no_room_says_so(monkeypatch, fault):
    def start(*arguments, **options):
        raise fault

    monkeypatch.setattr("tts_study.answers.worker.subprocess.Popen", start)
    with pytest.raises(UserError, match=f"parser does not start .*{fault.args[-1]}"):
        Worker("tts_study.answers.symbolic", limit_s=1.0, memory_mib=512).ask("1")


def test_a_worker_that_does_not_start_says_so():
    worker = Worker("tts_study.no_such_module", limit_s=2.0, memory_mib=64)
    with pytest.raises(UserError, match="no_such_module"):
        worker.ask("1")


# --- memo ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TTS_STUDY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_second_analysis_asks_no_worker(own_cache, monkeypatch):
    texts = [r"\sqrt{12}", r"2\sqrt{3}", "1/2", "q!r", r"7^{9^{9^9}}"]
    answers.forget()
    first = group(texts)
    answers.forget()
    monkeypatch.setattr(answers._parser, "worker", None)
    assert group(texts) == first == [0, 0, 1, 2, -1]
    assert answers.why_unreadable(texts[-1]) == "timed out"
    monkeypatch.undo()
    answers.forget()


def test_a_torn_or_strange_line_of_the_memo_is_ignored(own_cache):
    first = Memo()
    assert "a" not in first
    first["a"], first["b"] = "1", None
    with cache_file().open("a") as file:
        file.write('["d", 5]\n[[[\n["c", "tor')
    second = Memo()
    assert ("a" in second, "b" in second, "c" in second, "d" in second) == (True, True, False, False)
    assert (second["a"], second["b"]) == ("1", None)
    second["e"] = "4"
    assert "e" in Memo()


def test_a_damaged_line_of_the_memo_decides_no_grade(own_cache):
    first = Memo()
    assert "a" not in first
    first["a"] = "7/6"
    whole = cache_file().read_bytes()
    for place in range(len(whole) - 1):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            cache_file().write_bytes(damaged)
            assert "a" not in Memo()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.touch(0o666)])
def test_a_memo_that_is_a_pipe_or_that_others_may_write_is_done_without(own_cache, caplog, make):
    own_cache.mkdir()
    make(cache_file())
    cache_file().chmod(0o666)
    memo = Memo()
    assert "a" not in memo and "cannot keep canonical forms" in caplog.text


def test_nothing_beside_a_run_decides_its_grades(tmp_path, own_cache):
    (tmp_path / "run.answers.jsonl").write_text('{"parser": "any"}\n["\\\\sqrt{2}", "3"]\n')
    assert not is_correct(r"\sqrt{2}", "3")
    assert own_cache in cache_file().parents


def test_a_memo_that_cannot_be_written_is_done_without(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TTS_STUDY_CACHE", str(tmp_path / "file" / "cache"))
    memo = Memo()
    assert "a" not in memo
    memo["a"] = "1"
    assert memo["a"] == "1" and "cannot keep canonical forms" in caplog.text


# --- wherever it is called from ------------------------------------------------------------------------------------


def test_micro_answers_need_no_worker(monkeypatch):
    monkeypatch.setattr(answers._parser, "worker", None)
    answers._read_short.cache_clear()
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


@pytest.fixture(scope="module")
def golds(math500):
    return sorted({row["answer"] for row in math500})


@pytest.mark.parametrize("measure", [rewritten, damaged])
def test_math500_answers_equal_their_rewritings_and_nothing_damaged(measure, golds):
    changes = measure(golds)
    assert changes.failures == ()
    assert (len(changes.tried), changes.tried.total()) == {rewritten: (47, 3460), damaged: (11, 1106)}[measure]


def test_mutated_math500_answers_break_nothing(golds):
    assert fuzz(golds, 500).broken == []


def test_every_gsm8k_solution_is_graded_right():
    if not GSM8K.exists():
        pytest.skip(f"GSM8K is not at {GSM8K}")
    for line in GSM8K.read_text().splitlines():
        solution = json.loads(line)["answer"]
        gold = solution.split("#### ")[1]
        assert is_correct(extract(solution), gold.replace(",", "")), solution


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


def test_imitated_completions_are_as_many_as_asked_and_repeat_themselves():
    made = imitate(["1/2", "x+1", "(1,2)"], problems=5, n=64)
    assert [len(texts) for _, texts in made] == [64] * 5
    assert all(len(set(texts)) < 64 for _, texts in made)
    assert made == imitate(["1/2", "x+1", "(1,2)"], problems=5, n=64)


def test_speed_compares_all_answers_with_math_verify_on_a_sample():
    measured = speed(["1/2", "x+1"], problems=2, n=8, sample=4)
    assert (measured.count, measured.sample) == (16, 4)
    assert 0 < measured.correct <= 1 and measured.math_verify > 0


def test_gold_answers_without_the_field_are_reported(tmp_path):
    path = tmp_path / "golds.jsonl"
    path.write_text('{"answer": "1"}\n{"gold": "2"}\n')
    with pytest.raises(UserError, match='line 2: a line needs the text "answer"'):
        load_golds(path)


def test_grouping_a_study_of_micro_answers_is_fast():
    rng = random.Random(0)
    texts = [write_polynomial((rng.randint(1, 9), rng.randint(-9, 9))) for _ in range(32_000)]
    start = time.monotonic()
    group(texts)
    assert time.monotonic() - start < 5.0
