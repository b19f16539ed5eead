"""The profile `llama` end to end: all seven notebooks through `tts-study study`, on real vLLM on a CPU.

The ladder's names lead to tiny random models of Llama 3's shape, with its tokenizer, in a hub's cache made here. The
70b takes four devices, which a CPU has not, so that it is left out as it is on a machine with one GPU. Random text
contains no answers, which must be reported, too.
"""

import json
import shutil

import family_tokenizers
import nbformat
import numpy as np
import pytest
import torch
from prm_families import build_rlhflow
from transformers import LlamaConfig, LlamaForCausalLM

from tts_study import cli, paths
from tts_study.analysis import tables
from tts_study.cli.run import summary
from tts_study.profiles import PROFILES
from tts_study.prompts.policy import MATH_SYSTEM_PROMPT
from tts_study.runs import store
from tts_study.runs.engines import POLICY_URL, PRM_URL

TEXTS = ("What is $2+3$?", "Find $x$ if $x + 4 = 9$.")
N = 4
REVISION = "0123456789abcdef0123456789abcdef01234567"
# what the notebooks ask for at the least, so that most find their runs made by those before
PARAMETERS = dict(n=N, ns=[N], search_n=N, seeds=[0], seeds_n=N, n_problems=2, problem=0, probe=1, folds=2,
                  policies=["1b"])  # fmt: skip
PROMPT = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n{system}<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n{problem}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)


@pytest.fixture
def llama(tmp_path, monkeypatch):
    """Arguments of `study` for the profile `llama` on tiny models and two problems; its ladder is in the hub's cache."""
    tokenizer, policy, prm = family_tokenizers.llama3(), tmp_path / "policy", tmp_path / "prm"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(policy)
    tokenizer.save_pretrained(policy)
    prm.mkdir()
    build_rlhflow(tokenizer, prm)
    for name in PROFILES["llama"].policies.values():
        folder = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(REVISION)
        (folder / "snapshots").mkdir()
        (folder / "snapshots" / REVISION).symlink_to(policy)
    rows = [{"unique_id": f"t/{i}", "problem": text, "answer": "5", "level": i + 1} for i, text in enumerate(TEXTS)]
    (tmp_path / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv(paths.OUT, "")  # so that what the command sets is taken back
    for name in (POLICY_URL, PRM_URL):
        monkeypatch.delenv(name, raising=False)
    settings = dict(max_tokens=64, max_step_tokens=16, max_model_len=512, max_num_seqs=16, kv_cache_gib=0.1)
    assigned = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    parameters = [word for name, value in PARAMETERS.items() for word in ("-p", name, str(value))]
    models = ["--prm", str(prm), "--dataset", str(tmp_path / "problems.jsonl")]
    yield ["study", "--profile", "llama", *models, *assigned, *parameters, "--out", str(tmp_path / "out")]
    shutil.rmtree(tmp_path)


def printed(notebook) -> str:
    return "".join(o.text for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "stream")


@pytest.mark.engine
def test_all_notebooks_run_with_the_profile_llama_and_leave_out_the_policy_that_cannot_start(llama, tmp_path):
    assert cli.main(llama) == 0
    out = tmp_path / "out"
    notebooks = {p.stem: nbformat.read(p, as_version=4) for p in sorted((out / "notebooks").glob("*.ipynb"))}
    assert [name[:2] for name in notebooks] == ["00", "01", "02", "03", "04", "05", "06"]
    left_out = "1b, 3b, 8b; left out: 70b (meta-llama/Llama-3.1-70B-Instruct takes 4 CPU sockets (tensor_parallel_size="
    assert all(left_out in printed(notebooks[name]) for name in notebooks if name[:2] in ("01", "02", "06"))
    assert (out / "figures" / "06_small_vs_large.png").stat().st_size > 10_000

    (path,) = out.glob(f"runs/2-problems/1b-best_of_n-n{N}-seed0-*.jsonl")
    run = store.load(path)
    tokenizer = family_tokenizers.llama3()
    for problem, result in zip(run.problems, run.results, strict=True):
        prompt = PROMPT.format(system=MATH_SYSTEM_PROMPT, problem=problem.text)
        assert result.cost.prompt + result.cost.prompt_cached == N * len(tokenizer.encode(prompt)[1:])
        assert all(len(each.step_scores) == len(each.steps) > 0 for each in result.completions)
        assert all(0 < score < 1 for each in result.completions for score in each.step_scores)
    assert run.header["settings"]["system_prompt"] == MATH_SYSTEM_PROMPT
    assert run.header["policy"] == {"model": "meta-llama/Llama-3.2-1B-Instruct", "revision": REVISION}

    # nothing was answered, so nothing is right, and that is what is reported
    graded = tables.grade(run.problems, run.results)
    assert (graded.groups_P_N == -1).all() and not graded.correct_P_N.any()
    assert np.isneginf(graded.scores_P_N()).all()
    assert "8 of 8 completions gave no answer" in summary(run, "best_of_n", N, "last")
