"""Train the PRM: is every step so far right? Judged in RLHFlow's chat format, with labels from the exact step checker.

What made it work, where a verdict on steps alone had failed:

- The verdict is *dense*. A wrong token is known the moment it is written, so a linear probe (thrown away afterwards)
  has to say at every token whether the text up to it can still become right; the "+" or "-" after the step then only
  has to sum up.
- It still *predicts* the next token of what is right so far: to judge `42-17=25` a model must know 42-17.
- It sees real mistakes: completions sampled from the policies at two temperatures, and random edits of right
  solutions, together with right ones. Lengths are mixed within each batch.
- After the first wrong step all labels are "-" and say little new, so most of that tail is cut.
- It trains in two rounds. The first learns to judge. The second goes where the first still errs, which is in the
  arithmetic itself: results that are off by a slip, more of the families that it finds hard, and samples of the largest
  policy too, whose few mistakes are the plausible ones.
"""

import json
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, softplus
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tts_study.micro.generate import generate
from tts_study.micro.mistakes import edit, slip
from tts_study.micro.models import CONTEXT, PRM_ROUNDS, ModelSpec, deepen
from tts_study.micro.packing import IGNORE, Batch, Document, pack
from tts_study.micro.problems import MicroProblem, parse_problem, solutions
from tts_study.micro.tokenizer import ASSISTANT, END, USER, build_tokenizer
from tts_study.micro.training import fit
from tts_study.prompts.steps import split_steps

HARD_SUBJECTS = {"Polynomials": 1.0, "Equations": 0.6, "Arithmetic": 0.5, "Fractions": 0.3}  # kept in the second round
RIGHT_SHARE = 0.3  # documents that are a reference solution
EDITED_SHARE = 0.3  # documents that are a reference solution with a random edit; the rest are policies' samples
TAIL_STEPS = 1  # steps kept after the first wrong one
MAX_DOCUMENT_TOKENS = 256


def prm_document(tokenizer: PreTrainedTokenizerFast, problem: MicroProblem, steps: list[str]) -> Document:
    """A judged solution in RLHFlow's format, cut soon after its first wrong step.

    Targets are next tokens while all is right; verdicts say, at each token of a step and at each position that
    predicts "+" or "-", whether all is right up to there.
    """
    user, assistant, end, plus = map(tokenizer.convert_tokens_to_ids, (USER, ASSISTANT, END, "+"))
    encode = partial(tokenizer.encode, add_special_tokens=False)
    accepted = [[encode(step) + [end] for step in way] for way in solutions(problem)]
    written = [encode(step) + [end] for step in steps]
    tokens = [user, *encode(problem.text + " ")]
    targets, verdicts = [IGNORE] * len(tokens), [IGNORE] * len(tokens)
    right, tail = True, 0
    for i, step in enumerate(written):
        goals = [way[i] for way in accepted if right and way[:i] == written[:i] and len(way) > i]
        goal: list[int] = max(goals, key=partial(_common_prefix, step), default=[])
        good = _common_prefix(step, goal)
        right = step == goal
        # predict the goal's tokens up to and including the first one that was written otherwise
        hints = [goal[k] if k <= good and k < len(goal) else IGNORE for k in range(len(step))]
        targets[-1] = hints[0]
        tokens += [*step, assistant, plus, end, user]
        targets += [*hints[1:], *[IGNORE] * 5]
        # after the first wrong token, only the verdicts on steps count
        written_verdicts = [1] * min(good, len(step) - 1) + [0] * (goal != [] and good < len(step) - 1)
        verdicts += written_verdicts + [IGNORE] * (len(step) - len(written_verdicts))
        verdicts += [int(right), IGNORE, IGNORE, IGNORE]
        tail += not right
        if tail > TAIL_STEPS:
            break
    return Document(tokens[:-3], targets[:-3], verdicts[:-3])


def _common_prefix(a: list[int], b: list[int]) -> int:
    return next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def read_samples(files: list[Path]) -> list[tuple[str, str]]:
    """The sampled pool: (problem text, completion text) of every line of every file."""
    pool = []
    for file in files:
        for line in file.open():
            entry = json.loads(line)
            pool += [(entry["problem"], completion) for completion in entry["completions"]]
    return pool


def prm_batch(tokenizer: PreTrainedTokenizerFast, pool: list[tuple[str, str]], seed: str, *, hard: bool) -> Batch:
    """One batch of right, edited and sampled solutions, in random order; `hard` ones for the second round."""
    rng = random.Random(seed)

    def documents() -> Iterator[Document]:
        fresh = generate("train", seed)
        while True:
            kind = rng.random()
            if kind < RIGHT_SHARE + EDITED_SHARE or not pool:
                problem = next(fresh)
                steps = rng.choice(solutions(problem))
                if kind >= RIGHT_SHARE:
                    steps = slip(rng, steps) if hard and rng.random() < 0.7 else edit(rng, steps)
            else:
                text, completion = rng.choice(pool)
                problem, steps = parse_problem(text), list(split_steps(completion))
            if steps and (not hard or rng.random() < HARD_SUBJECTS[problem.subject]):
                document = prm_document(tokenizer, problem, steps)
                if len(document.tokens) <= MAX_DOCUMENT_TOKENS:
                    yield document

    return pack(documents())


class Judge(torch.nn.Module):
    """The PRM with its training-only probe for the verdict at every token."""

    def __init__(self, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.model = model
        self.probe = torch.nn.Linear(model.config.hidden_size, 1)
        self.minus_plus = tokenizer.convert_tokens_to_ids(["-", "+"])
        self.assistant = tokenizer.convert_tokens_to_ids(ASSISTANT)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Verdict after each step + verdict at each token + next token of what is right so far."""
        hidden, judged = self._hidden(batch), batch.verdicts != IGNORE
        after_step = judged & (batch.tokens == self.assistant)
        within = judged & ~after_step
        predicted = batch.targets != IGNORE
        next_loss = cross_entropy(self.model.lm_head(hidden[predicted]).float(), batch.targets[predicted])
        return (
            balanced_loss(self._verdicts(hidden[after_step]), batch.verdicts[after_step])
            + balanced_loss(self.probe(hidden[within])[:, 0].float(), batch.verdicts[within])
            + next_loss
        )

    def verdict_loss(self, batch: Batch) -> torch.Tensor:
        """Verdict after each step alone: all that labels of steps can teach."""
        hidden, judged = self._hidden(batch), batch.verdicts != IGNORE
        return balanced_loss(self._verdicts(hidden[judged]), batch.verdicts[judged])

    def _hidden(self, batch: Batch) -> torch.Tensor:
        states: torch.Tensor = self.model.model(
            batch.tokens, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
        ).last_hidden_state
        return states

    def _verdicts(self, hidden: torch.Tensor) -> torch.Tensor:
        """The logit of "+" against "-"."""
        minus, plus = self.model.lm_head(hidden)[:, self.minus_plus].float().unbind(1)
        return plus - minus


def balanced_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Binary cross entropy in which right and wrong weigh the same, however rare one is: a wrong token is 1 in 50."""
    right = labels == 1
    return (softplus(-logits[right]).sum() / max(1, int(right.sum()))
            + softplus(logits[~right]).sum() / max(1, int((~right).sum()))) / 2  # fmt: skip


@torch.inference_mode()
def step_scores(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, documents: list[Document]
) -> list[tuple[list[float], list[int]]]:
    """P(+) after each step of each document, with the labels, by transformers: how training is watched."""
    minus, plus, assistant = map(tokenizer.convert_tokens_to_ids, ("-", "+", ASSISTANT))
    out = []
    for document in documents:
        logits = model(torch.tensor([document.tokens]), use_cache=False).logits[0].float()
        places = [i for i, token in enumerate(document.tokens) if token == assistant]
        scores = torch.sigmoid(logits[places, plus] - logits[places, minus]).tolist()
        out.append((scores, [document.verdicts[i] for i in places]))
    return out


def held_out_accuracy(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, pool: list[tuple[str, str]]
) -> dict[str, float]:
    """Step accuracy on right steps and on first wrong steps of held-out samples."""
    documents = [
        prm_document(tokenizer, parse_problem(text), steps)
        for text, completion in pool if (steps := list(split_steps(completion)))
    ]
    right: list[bool] = []
    wrong: list[bool] = []
    for scores, labels in step_scores(model, tokenizer, documents):
        for score, label in zip(scores, labels, strict=True):
            (right if label else wrong).append((score > 0.5) == label)
            if not label:
                break
    return {
        kind: round(sum(verdicts) / max(1, len(verdicts)), 4)
        for kind, verdicts in (("right_steps", right), ("wrong_steps", wrong))
    }


def train_prm(start: Path, files: list[Path], folder: Path, seed: int, spec: ModelSpec, *, threads: int = 1) -> None:
    """Train the PRM for one round, and save it as a bf16 checkpoint in `folder`.

    Args:
        start: checkpoint of the policy, or of the round before, that it starts from.
        files: the sampled pool; the first samples of the first file are held out.
        folder: where it goes.
        seed: of initialisation and batches.
        spec: one of `PRM_ROUNDS`.
        threads: processor cores to use.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    tokenizer = build_tokenizer(CONTEXT)
    pool = read_samples(files)
    held_out, pool = pool[:400], pool[400:]
    base = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
    judge = Judge(deepen(base, spec.layers), tokenizer)
    hard = spec == PRM_ROUNDS[-1]
    batches = f"prm-hard-{seed}" if hard else f"prm-{seed}"
    fit(
        judge, spec.steps, spec.learning_rate,
        batch_of=lambda step: prm_batch(tokenizer, pool, f"{batches}-{step}", hard=hard),
        loss_of=judge.loss,
        folder=folder, label=spec.name,
        evaluate=lambda: held_out_accuracy(judge.model, tokenizer, held_out),
    )
    judge.model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
