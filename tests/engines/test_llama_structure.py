"""The profile `llama` end to end, with tiny random models of Llama 3's shape and its tokenizer in place of its own.

A notebook's own cells run, from its parameters to its figure. Random text holds no answers, which must be told.
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
from prm_families import build_rlhflow
from transformers import LlamaConfig, LlamaForCausalLM

from tts_study import paths
from tts_study.cli.run import summary
from tts_study.profiles import load_profile
from tts_study.prompts.policy import MATH_SYSTEM_PROMPT

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "02_weighted_best_of_n.ipynb"
TEXTS = ("What is $2+3$?", "Find $x$ if $x + 4 = 9$.")
N = 8  # the notebook compares budgets of 1, 8 and n
PROMPT = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n{system}<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n{problem}<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)


@pytest.fixture
def profile(tmp_path):
    """`llama` on tiny models and two problems; all else is as it is, but for the lengths."""
    tokenizer = family_tokenizers.llama3()
    policy, prm, data = tmp_path / "policy", tmp_path / "prm", tmp_path / "problems.jsonl"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(policy)
    tokenizer.save_pretrained(policy)
    prm.mkdir()
    build_rlhflow(tokenizer, prm)
    data.write_text("".join(json.dumps({"problem": text, "answer": "5"}) + "\n" for text in TEXTS))
    llama = load_profile(
        "llama", prm=str(prm), dataset=str(data), max_tokens=64, max_model_len=512, max_num_seqs=16, kv_cache_gib=0.1
    )
    return replace(llama, policies={"1b": str(policy)})


async def run_cells(notebook: Path, **parameters: object) -> dict[str, object]:
    """The notebook's names after all its cells were run, in this process."""
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    names: dict[str, object] = {}
    for cell in cells:
        code = compile(cell.source, notebook.stem, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if inspect.iscoroutine(result := eval(code, names)):
            await result
        if "parameters" in cell.metadata.get("tags", []):
            names |= parameters
    return names


@pytest.mark.engine
async def test_a_notebook_runs_with_the_profile_llama(profile, tmp_path, monkeypatch):
    monkeypatch.setenv(paths.OUT, str(tmp_path / "out"))
    names = await run_cells(NOTEBOOK, profile=profile, n=N, n_problems=len(TEXTS), fresh=True)

    (run,), graded = names["found"].runs.values(), names["found"].samples
    tokenizer = family_tokenizers.llama3()
    for problem, result in zip(run.problems, run.results, strict=True):
        prompt = PROMPT.format(system=MATH_SYSTEM_PROMPT, problem=problem.text)
        assert result.cost.prompt + result.cost.prompt_cached == N * len(tokenizer.encode(prompt)[1:])
        assert all(len(each.step_scores) == len(each.steps) > 0 for each in result.completions)
        assert all(0 < score < 1 for each in result.completions for score in each.step_scores)
    assert run.header["settings"]["system_prompt"] == MATH_SYSTEM_PROMPT

    # nothing was answered, so nothing is right, and that is what is told
    assert (graded.groups_P_N == -1).all() and not graded.correct_P_N.any()
    assert np.isneginf(graded.scores_P_N()).all()
    assert (names["curve"]["accuracy"] == 0).all()
    assert (tmp_path / "out" / "figures" / "02_weighted_best_of_n.png").stat().st_size > 10_000
    assert "16 of 16 completions gave no answer" in summary(run, "best_of_n", N, profile.aggregation)
