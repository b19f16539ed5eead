"""Train the micro policies from scratch: next-token prediction on exact solutions of random problems.

A run is a function of (spec, seed): batch number k is drawn from a generator seeded by k, so that a run that was
interrupted resumes from its last checkpoint with the batches it would have seen.
"""

import json
import math
import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
from tqdm import tqdm
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tts_study.engines.cpu.bf16 import imitates_bf16
from tts_study.micro.generate import generate
from tts_study.micro.models import CONTEXT, ModelSpec, build_model
from tts_study.micro.packing import IGNORE, Batch, Document, pack
from tts_study.micro.problems import MicroProblem, solutions
from tts_study.micro.tokenizer import build_tokenizer
from tts_study.prompts.steps import STEP_SEPARATOR

B = TypeVar("B")  # whatever a loss is computed from

CHECKPOINT_EVERY = 100  # steps
LOG_EVERY = 50
REFERENCE_SHARE = 0.7  # how often a solution is written the reference way where there are several


def policy_document(tokenizer: PreTrainedTokenizerFast, problem: MicroProblem, solution: list[str]) -> Document:
    """A chat of the problem and its solution; only the solution's tokens are predicted."""
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": problem.text}], add_generation_prompt=True, return_dict=False
    )
    answer = tokenizer.encode(STEP_SEPARATOR.join(solution)) + [tokenizer.eos_token_id]
    targets = [IGNORE] * (len(prompt) - 1) + answer + [IGNORE]
    return Document(prompt + answer, targets)


def policy_batch(tokenizer: PreTrainedTokenizerFast, seed: str) -> Batch:
    """One batch of training problems, each solved in one of the accepted ways."""
    rng = random.Random(seed)

    def documents() -> Iterator[Document]:
        for problem in generate("train", seed):
            ways = solutions(problem)
            way = ways[0] if rng.random() < REFERENCE_SHARE else rng.choice(ways)
            yield policy_document(tokenizer, problem, way)

    return pack(documents())


def policy_loss(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Mean cross entropy of the targets, in nats a token."""
    logits = model(batch.tokens, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten())


@torch.inference_mode()
def exact_match(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, n_problems: int = 200) -> list[float]:
    """Share of validation problems, by level, whose reference solution is the argmax at every token.

    This is greedy accuracy without sampling (up to other ways to write a right answer).
    """
    right, total = [0] * 5, [0] * 5
    for problem in islice(generate("validation", 0), n_problems):
        document = policy_document(tokenizer, problem, solutions(problem)[0])
        predicted = model(torch.tensor([document.tokens]), use_cache=False).logits[0].argmax(-1).tolist()
        total[problem.level - 1] += 1
        right[problem.level - 1] += all(p == t for p, t in zip(predicted, document.targets, strict=True) if t != IGNORE)
    return [r / t for r, t in zip(right, total, strict=True)]


def learning_rate(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    """Linear warm-up, then a cosine down to a hundredth of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def precision() -> torch.autocast:
    """Autocast to bf16; float32 on a processor that imitates bf16, because bf16 is the slower one there."""
    return torch.autocast("cpu", torch.bfloat16, enabled=not imitates_bf16())


def fit(
    model: torch.nn.Module,
    steps: int,
    peak_rate: float,
    batch_of: Callable[[int], B],
    loss_of: Callable[[B], torch.Tensor],
    folder: Path,
    label: str,
    evaluate: Callable[[], dict] | None = None,
) -> None:
    """The training loop: AdamW, `precision`, a checkpoint every `CHECKPOINT_EVERY` steps, a loss log, a bar.

    Args:
        model: everything that is trained.
        steps: total number of steps; a checkpoint in `folder` counts towards it.
        peak_rate: peak learning rate.
        batch_of: step -> batch.
        loss_of: batch -> scalar loss.
        folder: gets `log.jsonl`, and `checkpoint.pt` while training.
        label: shown by the progress bar.
        evaluate: called every 10th log line; its result joins the log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
        betas=(0.9, 0.98), fused=True,
    )
    first, checkpoint = 0, folder / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
        _forget_after(folder / "log.jsonl", first)
    started, losses = time.monotonic(), []
    bar = tqdm(range(first, steps), initial=first, total=steps, desc=label, mininterval=5)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, peak_rate)
        batch = batch_of(step)
        with precision():
            loss = loss_of(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        done = step + 1
        if done % LOG_EVERY == 0 or done == steps:
            mean, seconds = sum(losses) / len(losses), time.monotonic() - started
            line = {"step": done, "loss": round(mean, 5), "seconds": round(seconds)}
            if evaluate is not None and (done % (10 * LOG_EVERY) == 0 or done == steps):
                model.eval()
                line |= evaluate()
                model.train()
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            bar.set_postfix(loss=line["loss"])
            losses.clear()
        if done % CHECKPOINT_EVERY == 0 and done < steps:
            partial = checkpoint.with_suffix(".tmp")
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": done}, partial)
            partial.replace(checkpoint)  # a kill in the middle of a save leaves the last checkpoint whole
    checkpoint.unlink(missing_ok=True)


def _forget_after(log: Path, step: int) -> None:
    """Drop what a run logged after its last checkpoint: it will be done, and logged, again."""
    if log.exists():
        lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        log.write_text("".join(line for line in lines if json.loads(line)["step"] <= step))


def train_policy(spec: ModelSpec, folder: Path, seed: int) -> None:
    """Train one policy, on one core, and save it as a bf16 Hugging Face checkpoint in `folder`."""
    torch.set_num_threads(1)
    tokenizer = build_tokenizer(CONTEXT)
    model = build_model(spec, seed)
    fit(
        model, spec.steps, spec.learning_rate,
        batch_of=lambda step: policy_batch(tokenizer, f"{seed}-{step}"),
        loss_of=lambda batch: policy_loss(model, batch),
        folder=folder, label=f"policy {spec.name}",
        evaluate=lambda: {"exact_match_by_level": [round(x, 3) for x in exact_match(model, tokenizer)]},
    )
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
