"""The profile `llama` end to end: all seven notebooks, on real vLLM on a CPU.

The ladder is tiny random models of Llama 3's shape with its tokenizer. The 70b takes four devices, which this machine
does not have, so that it is left out as on a machine with one GPU. Random text has no answers, which must be reported.
"""

import ast
import inspect
import json
from dataclasses import replace
from pathlib import Path

import family_tokenizers
import nbformat
import numpy as np
import pytest
import torch
from prm_families import STEPS, build_rlhflow
from test_self_prm import by_transformers
from transformers import LlamaConfig, LlamaForCausalLM

from tts_study import cli, paths
from tts_study.analysis.grading import grade
from tts_study.cli.run import summary
from tts_study.engines.critique_prm import CritiquePRM
from tts_study.engines.self_prm import SelfPRM
from tts_study.profiles import PROFILES, load_profile
from tts_study.prompts.policy import MATH_SYSTEM_PROMPT
from tts_study.records import Problem
from tts_study.runs import store
from tts_study.runs.engines import ENGINES, POLICY_URL, PRM_URL

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
REDRAWN = ("08", "10")  # search nothing, whatever the profile: tests/cli/test_changed_parameters.py runs them
SEARCHING = [path for path in NOTEBOOKS if not path.name.startswith(REDRAWN)]
TEXTS = ("What is $2+3$?", "Find $x$ if $x + 4 = 9$.")
N = 8  # the notebooks compare budgets of 1, 8 and n
REVISION = "0123456789abcdef0123456789abcdef01234567"
SETTINGS = dict(max_tokens=64, max_step_tokens=16, max_model_len=512, max_num_seqs=16, kv_cache_gib=0.1)
# the least that each notebook can do with, and as few runs: most notebooks find theirs among those made before
PARAMETERS = dict(n=N, ns=[1, 4, N], search_n=N, explored_n=N, seeds=[0], seeds_n=N, n_problems=2, problem=0, probe=1,
                  folds=2, policies=["1b"], fresh=True)  # fmt: skip
LEFT_OUT = "left out: 70b ({} takes 4 CPU sockets (tensor_parallel_size="
PROMPT = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n{system}<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n{problem}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)


@pytest.fixture
def models(tmp_path):
    """A policy, a PRM, and two problems."""
    tokenizer = family_tokenizers.llama3()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    (tmp_path / "prm").mkdir()
    build_rlhflow(tokenizer, tmp_path / "prm")
    rows = [{"unique_id": f"t/{i}", "problem": text, "answer": "5", "level": i + 1} for i, text in enumerate(TEXTS)]
    (tmp_path / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def check_run(out):
    """The prompts are Llama's, every step has a score, and nothing was answered, which is what is reported."""
    (path,) = out.glob(f"runs/*/1b-best_of_n-n{N}-seed0-prm_prm-????????.jsonl")
    run, tokenizer = store.load(path), family_tokenizers.llama3()
    for problem, result in zip(run.problems, run.results, strict=True):
        prompt = PROMPT.format(system=MATH_SYSTEM_PROMPT, problem=problem.text)
        assert result.cost.prompt + result.cost.prompt_cached == N * len(tokenizer.encode(prompt)[1:])
        assert all(len(each.step_scores) == len(each.steps) > 0 for each in result.completions)
        assert all(0 < score < 1 for each in result.completions for score in each.step_scores)
    assert run.header["settings"]["system_prompt"] == MATH_SYSTEM_PROMPT
    graded = grade(run.problems, run.results)
    assert (graded.groups_P_N == -1).all() and not graded.correct_P_N.any()
    assert np.isneginf(graded.scores_P_N()).all()
    assert "16 of 16 completions gave no answer" in summary(run, "best_of_n", N, "last")
    return run


async def check_it_judges_itself(policy):
    """Asked about its own steps, the policy answers as in transformers."""
    prm, problem = SelfPRM(policy), Problem("a", TEXTS[0], "5")
    (scores,) = (await prm.score_solutions(problem, [STEPS])).step_scores
    assert scores == pytest.approx(by_transformers(prm, problem, STEPS, torch.bfloat16), abs=3e-3)


async def check_it_writes_verdicts(policy):
    """Random text names no step, so that nothing is trusted; what it reads and writes is counted."""
    prm, problem = CritiquePRM(policy, 2, owns_engine=False), Problem("a", TEXTS[0], "5")
    first, again = [await prm.score_solutions(problem, [STEPS]) for _ in range(2)]
    assert first.step_scores == again.step_scores == ((0.0,) * len(STEPS),)
    read = first.cost.scored + first.cost.scored_cached
    assert read == again.cost.scored + again.cost.scored_cached and again.cost.scored < first.cost.scored


async def run_cells(notebook: Path, **parameters: object) -> None:
    """Run all cells of a notebook in this process."""
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    names: dict[str, object] = {}
    for cell in cells:
        code = compile(cell.source, notebook.stem, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if inspect.iscoroutine(result := eval(code, names)):
            await result
        if "parameters" in cell.metadata.get("tags", []):
            names |= parameters


@pytest.mark.engine
async def test_all_notebooks_run_with_the_profile_llama_and_one_pair_of_engines(models, tmp_path, monkeypatch, capsys):
    """Two rungs, and the engines are not closed between notebooks: this takes one start of each."""

    async def not_yet():
        pass

    close = ENGINES.close
    monkeypatch.setattr(ENGINES, "close", not_yet)
    monkeypatch.setenv(paths.OUT, str(tmp_path / "out"))
    policy = str(models / "policy")
    asked = dict(prm=str(models / "prm"), dataset=str(models / "problems.jsonl"), **SETTINGS)
    profile = replace(load_profile("llama", **asked), policies={"1b": policy, "70b": policy})
    try:
        for notebook in SEARCHING:
            await run_cells(notebook, **PARAMETERS, profile=profile, verifiers=[profile.prm], f1=[0.5])
            left_out = LEFT_OUT.format(policy) in capsys.readouterr().out
            assert left_out == (notebook.name[:2] in ("01", "02", "06")), notebook.name
        policy, _ = await ENGINES.of(profile, needs_prm=False)
        await check_it_judges_itself(policy)
        await check_it_writes_verdicts(policy)
    finally:
        await close()
    check_run(tmp_path / "out")
    assert (tmp_path / "out" / "figures" / "06_small_vs_large.png").stat().st_size > 10_000


@pytest.mark.engine
@pytest.mark.full
def test_all_notebooks_run_through_the_command_with_the_profile_llama(models, tmp_path, monkeypatch):
    """As a user runs them: `tts-study study --set`, the ladder's own names, which lead to a hub's cache made here."""
    for name in PROFILES["llama"].policies.values():
        folder = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(REVISION)
        (folder / "snapshots").mkdir()
        (folder / "snapshots" / REVISION).symlink_to(models / "policy")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv(paths.OUT, "")  # so that what the command sets is taken back
    for name in (POLICY_URL, PRM_URL):
        monkeypatch.delenv(name, raising=False)
    out = tmp_path / "out"
    assigned = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    parameters = [word for name, value in PARAMETERS.items() for word in ("-p", name, str(value)) if name != "fresh"]
    parameters += ["-p", "verifiers", str([str(models / "prm")]), "-p", "f1", "[0.5]"]
    where = ["--prm", str(models / "prm"), "--dataset", str(models / "problems.jsonl"), "--out", str(out)]
    where += ["--notebooks", *(path.stem for path in SEARCHING)]
    assert cli.main(["study", "--profile", "llama", *where, *assigned, *parameters]) == 0

    done = {path.stem: nbformat.read(path, as_version=4) for path in sorted((out / "notebooks").glob("*.ipynb"))}
    assert list(done) == [path.stem for path in SEARCHING]
    left_out = "1b, 3b, 8b; " + LEFT_OUT.format(PROFILES["llama"].policies["70b"])
    assert all(left_out in printed(done[name]) for name in done if name[:2] in ("01", "02", "06"))
    assert (out / "figures" / "06_small_vs_large.png").stat().st_size > 10_000
    assert check_run(out).header["policy"] == {"model": PROFILES["llama"].policies["1b"], "revision": REVISION}


def printed(notebook) -> str:
    return "".join(o.text for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "stream")
