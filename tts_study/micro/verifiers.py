"""Verifiers of graded quality: what notebook 07 puts on its axis.

All start from the micro PRM with its upper layers reset, so that they have the size and the format of the PRM, and have
to learn again to judge from what its lower layers give, which stay as they are. The errors in their scores are those of
models that have not learned enough, and not noise that was added.

- prm-K are checkpoints along one training on right solutions and on edited ones, with the exact labels and the loss
  of the PRM itself; the longer it trains, the better it judges.
- prm-rollouts sees no exact label. It trains on solutions that the 1b sampled, and a step counts as right if one of
  eight continuations reached the right answer, as in Math-Shepherd (Wang et al. 2023, arXiv 2312.08935).

Their quality is measured as on ProcessBench (`analysis.first_errors`), with labels from the exact step checker.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tts_study.analysis import first_errors
from tts_study.micro.generate import distinct, generate
from tts_study.micro.models import CONTEXT
from tts_study.micro.packing import Batch, pack
from tts_study.micro.prm import Judge, prm_batch, prm_document, step_scores
from tts_study.micro.problems import MicroProblem, check_steps, parse_problem, solutions
from tts_study.micro.rollouts import read_rollouts
from tts_study.micro.tokenizer import ASSISTANT, END, USER, build_tokenizer
from tts_study.runs.store import Run

RESET = 3  # upper layers, of eight
SNAPSHOTS = (25, 160)  # steps after which a checkpoint is kept
VERIFIERS = (*(f"prm-{steps}" for steps in SNAPSHOTS), "prm-rollouts")
LEARNING_RATE = 2e-3
WARMUP = 20
COMPLETIONS = 4  # of each problem that quality is measured on
MOST_STEPS = 16  # of a solution that a verifier writes itself


def train_verifiers(start: Path, rollouts: Path, out: Path, seed: int) -> None:
    """Train the verifiers that learn from exact labels, and the one that learns from rollouts.

    Args:
        start: the micro PRM's checkpoint.
        rollouts: the file of `rollouts.sample_rollouts`.
        out: their folder: prm-K for each of `SNAPSHOTS`, and prm-rollouts.
        seed: of initialisation and batches.
    """
    tokenizer = build_tokenizer(CONTEXT)
    documents = read_rollouts(tokenizer, rollouts)

    def from_rollouts(step: int) -> Batch:
        rng = random.Random(f"rollouts-{seed}-{step}")
        return pack(rng.choice(documents) for _ in iter(int, 1))

    def exact(step: int) -> Batch:
        return prm_batch(tokenizer, [], f"verifiers-{seed}-{step}", hard=False)

    _train(start, {steps: out / f"prm-{steps}" for steps in SNAPSHOTS}, seed, exact, Judge.loss)
    _train(start, {SNAPSHOTS[-1]: out / "prm-rollouts"}, seed, from_rollouts, Judge.verdict_loss)


def _train(
    start: Path, keep: Mapping[int, Path], seed: int, batch_of: Callable[[int], Batch],
    loss_of: Callable[[Judge, Batch], torch.Tensor],
) -> None:  # fmt: skip
    """Train once, and keep a bf16 checkpoint after each given number of steps."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    tokenizer = build_tokenizer(CONTEXT)
    model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
    reset_upper_layers(model, RESET)
    judge = Judge(model, tokenizer)
    for layer in (model.model.embed_tokens, *model.model.layers[:-RESET]):
        layer.requires_grad_(False)
    trained = [weight for weight in judge.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.05)
    steps = max(keep)
    for step in range(steps):
        for group in optimizer.param_groups:  # warm-up, then constant, then down to 0 in the second half
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / WARMUP, 2 * (steps - step) / steps)
        loss = loss_of(judge, batch_of(step))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if folder := keep.get(step + 1):
            folder.mkdir(parents=True, exist_ok=True)
            weights = {name: weight.bfloat16().contiguous() for name, weight in model.state_dict().items()}
            model.save_pretrained(folder, state_dict=weights)
            tokenizer.save_pretrained(folder)
            print(f"{folder}: loss {loss.item():.3f}", flush=True)


def reset_upper_layers(model: LlamaForCausalLM, count: int) -> None:
    """Give the last layers new weights; they begin as the identity: their outputs are zero."""
    for layer in model.model.layers[-count:]:
        for name, weight in layer.named_parameters():
            if weight.ndim == 1:
                torch.nn.init.ones_(weight)
            elif name in ("self_attn.o_proj.weight", "mlp.down_proj.weight"):
                torch.nn.init.zeros_(weight)
            else:
                torch.nn.init.normal_(weight, std=0.02)


def measure_verifier(folder: Path, runs: Sequence[Run], *, solved: int) -> dict[str, Any]:
    """A verifier's quality on recorded completions, and how well it solves problems itself.

    Args:
        folder: its checkpoint.
        runs: sampled runs; the first `COMPLETIONS` of each problem are judged.
        solved: validation problems that it solves itself; a multiple of 20.
    """
    torch.set_num_threads(1)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = build_tokenizer(CONTEXT)
    problems = distinct(generate("validation", "verifiers"), solved)
    own = np.mean([solves(model, tokenizer, problem) for problem in problems])
    return {"verifier": folder.name} | quality(judged(model, tokenizer, runs)) | {"own_greedy": round(float(own), 4)}


def judged(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, runs: Sequence[Run]
) -> list[tuple[list[float], list[bool]]]:
    """The scores of the steps of each recorded completion, and whether each step is right."""
    found: list[tuple[list[float], list[bool]]] = []
    for run in runs:
        for problem, result in zip(run.problems, run.results, strict=True):
            micro = parse_problem(problem.text)
            written = [list(completion.steps) for completion in result.completions[:COMPLETIONS] if completion.steps]
            documents = [prm_document(tokenizer, micro, steps) for steps in written]
            for steps, (scores, _) in zip(written, step_scores(model, tokenizer, documents), strict=True):
                found.append((scores, check_steps(micro, steps)))
    return found


def quality(scored: Sequence[tuple[Sequence[float], Sequence[bool]]]) -> dict[str, Any]:
    """The measures of `first_errors.quality`, with four digits, and the number of solutions.

    Args:
        scored: of each solution, the scores of its steps (those after the first error may be missing), and whether
            each step is right.
    """
    solutions = [
        first_errors.Judged(first_errors.NO_ERROR if all(labels) else sum(labels), tuple(scores))
        for scores, labels in scored
    ]
    found = first_errors.quality(solutions)
    names = ("f1", "on_wrong", "on_right", "auroc", "calibration_error")
    return {"solutions": len(scored)} | {name: round(float(getattr(found, name)), 4) for name in names}


@torch.inference_mode()
def solves(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, problem: MicroProblem) -> bool:
    """Whether the verifier solves a problem itself, greedily, in the format that it was trained in."""
    user, assistant, end, plus = map(tokenizer.convert_tokens_to_ids, (USER, ASSISTANT, END, "+"))
    tokens = [user, *tokenizer.encode(problem.text + " ", add_special_tokens=False)]
    text = ""
    for _ in range(MOST_STEPS):
        room = min(64, CONTEXT - len(tokens) - 4)
        if room < 1 or text.startswith(r"\boxed"):
            break
        written = model.generate(  # type: ignore[misc]
            torch.tensor([tokens]), max_new_tokens=room, do_sample=False, eos_token_id=end, pad_token_id=end
        )[0, len(tokens) :].tolist()
        text = str(tokenizer.decode([token for token in written if token != end]))
        tokens += [*(token for token in written if token != end), end, assistant, plus, end, user]
    return text in {way[-1] for way in solutions(problem)}


def write_quality(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """Write the table that notebook 07 reads, and a card beside each verifier."""
    (out / "quality.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for row in rows:
        if (out / row["verifier"]).is_dir():
            (out / row["verifier"] / "README.md").write_text(CARD.format(**row))


CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# tts-study micro verifier {verifier}

A process reward model of known, limited quality, for notebook 07. It is the micro PRM with its three upper layers
reset and trained again: prm-K for K steps on right and on edited solutions with the exact step checker's labels,
prm-rollouts on sampled solutions with labels from rollouts of the 1b (Math-Shepherd, arXiv 2312.08935). Trained
and measured by `python -m tts_study.micro verifiers`, with the exact step checker.

| on {solutions} recorded completions of the 1b and the 3b | |
| --- | ---: |
| F1 of first errors, as on ProcessBench | {f1:.3f} |
| accuracy on wrong solutions | {on_wrong:.3f} |
| accuracy on right solutions | {on_right:.3f} |
| AUROC of steps up to the first error | {auroc:.4f} |
| expected calibration error | {calibration_error:.3f} |
| validation problems that it solves itself, greedily | {own_greedy:.3f} |
"""
