"""Train a PRM on labelled solutions (`label_budget`): the policy 3b learns to give a verdict after each step."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tts_study import paths
from tts_study.micro.label_budget import (
    BUDGETS,
    KINDS,
    STEPS,
    Labelled,
    count,
    judged_run,
    read_labelled,
    read_quality,
)
from tts_study.micro.models import CONTEXT
from tts_study.micro.packing import ROW_TOKENS, Batch, Document, pack
from tts_study.micro.prm import Judge, prm_document, step_scores
from tts_study.micro.problems import check_steps, parse_problem
from tts_study.micro.rollouts import judged_document
from tts_study.micro.tokenizer import build_tokenizer
from tts_study.runs.store import Run

START = "3b"  # the policy that every PRM here starts as
LEARNING_RATE = 2e-3
WARMUP = 20
ROWS = 4  # of a batch
COMPLETIONS = 4  # of each problem that quality is measured on


def record(out: Path, *, seed: int, n_problems: int) -> list[dict[str, Any]]:
    """Train on each of `BUDGETS` with each of `KINDS`, and write a line for each; those that are there are kept.

    Args:
        out: JSONL file of the rows of `train_and_judge`.
        seed: of the batches.
        n_problems: whose recorded completions are judged.
    """
    labelled, run = read_labelled(), judged_run(n_problems)
    rows = read_quality(out) if out.exists() else []
    done = {(row["kind"], row["solutions"], row["seed"]) for row in rows}
    out.parent.mkdir(parents=True, exist_ok=True)
    for budget in reversed(BUDGETS):
        for kind in KINDS:
            if (kind, budget, seed) not in done:
                row = train_and_judge(labelled[:budget], kind, run, seed=seed)
                with out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                rows.append(row)
    return rows


def train_and_judge(
    labelled: Sequence[Labelled], kind: str, run: Run, *, seed: int, steps: int = STEPS
) -> dict[str, Any]:
    """Train one PRM on all of `labelled`, and let it judge recorded completions.

    Args:
        labelled: the solutions of the budget.
        kind: one of `KINDS`.
        run: a sampled run; the first `COMPLETIONS` of each problem are judged.
        seed: of the batches.
        steps: of the optimizer.

    Returns:
        What `count` counts; kind, seed and steps; and "judged": for each completion [problem's id, index of the first
        wrong step or -1, scores of the steps with three digits].
    """
    tokenizer = build_tokenizer(CONTEXT)
    model = train(tokenizer, labelled, kind, seed=seed, steps=steps)
    return {"kind": kind, **count(labelled, kind), "steps": steps, "seed": seed, "judged": judge(model, tokenizer, run)}


def train(
    tokenizer: PreTrainedTokenizerFast, labelled: Sequence[Labelled], kind: str, *, seed: int, steps: int
) -> LlamaForCausalLM:
    """The policy `START`, trained on one core to judge the steps of labelled solutions."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    documents = [judged_document(tokenizer, each.problem, each.steps, each.labels(kind)) for each in labelled]
    fitting = [document for document in documents if len(document.tokens) <= ROW_TOKENS]
    model = LlamaForCausalLM.from_pretrained(paths.data() / "micro" / START, dtype=torch.float32)
    judge_model = Judge(model, tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.05)
    for step in range(steps):
        for group in optimizer.param_groups:  # warm-up, then down to 0
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / WARMUP, (steps - step) / max(1, steps - WARMUP))
        loss = judge_model.verdict_loss(_batch(fitting, f"labels-{seed}-{step}"))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return model.eval()


def _batch(documents: Sequence[Document], seed: str) -> Batch:
    rng = random.Random(seed)

    def stream() -> Iterator[Document]:
        while True:
            yield rng.choice(documents)

    whole = pack(stream())
    return replace(whole, **{name: tensor[:ROWS] for name, tensor in vars(whole).items()})


def judge(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, run: Run) -> list[list[Any]]:
    """What `train_and_judge` says of each recorded completion."""
    rows = []
    for problem, result in zip(run.problems, run.results, strict=True):
        micro = parse_problem(problem.text)
        for completion in result.completions[:COMPLETIONS]:
            if steps := list(completion.steps):
                right = check_steps(micro, steps)
                ((scores, _),) = step_scores(model, tokenizer, [prm_document(tokenizer, micro, steps)])
                rows.append([problem.id, -1 if all(right) else sum(right), [round(score, 3) for score in scores]])
    return rows
