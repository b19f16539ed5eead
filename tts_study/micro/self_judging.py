"""A policy that solves and judges with one set of weights: what `--prm self` asks needs a policy that can answer.

It starts as a trained policy and continues with two kinds of documents at once: solutions, as the policy learned them,
and judged solutions in the format of the micro PRMs (`prm.prm_document`), among them its own samples. `--prm self
--prm-format rlhflow` asks it in that format.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tts_study.micro.generate import distinct, generate
from tts_study.micro.models import CONTEXT
from tts_study.micro.packing import Batch
from tts_study.micro.prm import Judge, prm_batch, read_samples
from tts_study.micro.problems import MicroProblem, solutions
from tts_study.micro.tokenizer import build_tokenizer
from tts_study.micro.training import fit, policy_batch, policy_loss
from tts_study.micro.verifiers import judged, quality
from tts_study.prompts.steps import split_steps
from tts_study.runs.store import Run

STEPS = 3000
LEARNING_RATE = 2e-3
SAMPLED = 3000  # training problems that the policy is sampled on
Pair = tuple[Batch, Batch]  # solutions, judged solutions


def train_self_judge(start: Path, samples: Path, folder: Path, seed: int, *, steps: int = STEPS) -> None:
    """Train on solutions and verdicts together, on all cores, and save a bf16 checkpoint in `folder`.

    Args:
        start: the policy's checkpoint.
        samples: the file of `sampling.sample_policy` by this policy, on training problems.
        folder: where it goes; a training that was interrupted there resumes.
        seed: of the batches.
        steps: of the optimizer.
    """
    torch.manual_seed(seed)
    tokenizer, pool = build_tokenizer(CONTEXT), read_samples([samples])
    model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
    judge = Judge(model, tokenizer)

    def batches(step: int) -> Pair:
        name = f"self-{seed}-{step}"
        return policy_batch(tokenizer, name), prm_batch(tokenizer, pool, name, hard=False)

    fit(
        judge, steps, LEARNING_RATE, batch_of=batches,
        loss_of=lambda pair: policy_loss(model, pair[0]) + judge.loss(pair[1]), folder=folder, label=folder.name,
    )  # fmt: skip
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def measure(folders: Sequence[Path], run: Run, *, solved: int) -> list[dict[str, Any]]:
    """How well each checkpoint solves new problems greedily, and judges recorded completions.

    Args:
        folders: of policies.
        run: a sampled run by the plain policy; the first `verifiers.COMPLETIONS` of each problem are judged.
        solved: validation problems that are solved; a multiple of 20.
    """
    torch.set_num_threads(1)
    tokenizer = build_tokenizer(CONTEXT)
    problems = distinct(generate("validation", "self-judging"), solved)
    rows = []
    for folder in folders:
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        own = sum(solves(model, tokenizer, problem) for problem in problems) / solved
        rows.append({"policy": folder.name, "greedy": round(own, 4)} | quality(judged(model, tokenizer, [run])))
    return rows


@torch.inference_mode()
def solves(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, problem: MicroProblem) -> bool:
    """Whether a policy solves a problem greedily."""
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": problem.text}], add_generation_prompt=True, return_dict=False
    )
    end = tokenizer.eos_token_id
    written = model.generate(  # type: ignore[misc]
        torch.tensor([prompt]), max_new_tokens=256, do_sample=False, eos_token_id=end, pad_token_id=end
    )[0, len(prompt) :].tolist()
    steps = split_steps(str(tokenizer.decode([token for token in written if token != end])))
    return bool(steps) and steps[-1] in {way[-1] for way in solutions(problem)}


def write_card(rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write the measurements, and the card that names them, beside the checkpoint.

    Args:
        rows: of the plain policy and of the one that judges, as of `measure`.
        folder: the checkpoint of the one that judges.
    """
    (folder / "quality.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain, judge = rows
    names = ("f1", "on_wrong", "on_right", "auroc", "calibration_error")
    lines = [f"| {_SHOWN[name]} | {plain[name]:.3f} | {judge[name]:.3f} |" for name in ("greedy", *names)]
    (folder / "README.md").write_text(
        CARD.format(name=folder.name, plain=plain["policy"], solutions=judge["solutions"], rows="\n".join(lines))
    )


_SHOWN = {
    "greedy": "validation problems solved greedily",
    "f1": "F1 of first errors, as on ProcessBench",
    "on_wrong": "accuracy on wrong solutions",
    "on_right": "accuracy on right solutions",
    "auroc": "AUROC of steps up to the first error",
    "calibration_error": "expected calibration error",
}
CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# tts-study micro {name}

A micro policy that solves problems and judges its own steps, with one set of weights: the {plain}, trained further on
solutions and on verdicts with the exact step checker's labels, among them verdicts on its own samples of training
problems. Asked by `--prm self --prm-format rlhflow`. Trained and measured by `python -m tts_study.micro self-judge
--policy {plain}`; the judged solutions are {solutions} recorded completions of the {plain}.

| | {plain} | {name} |
| --- | ---: | ---: |
{rows}
"""
