"""How good does a PRM get from how many labels, and from which: the exact checker's, or those of rollouts?

The same sampled solutions are labelled twice. *exact* asks the step checker, which stands in for a careful human;
*rollouts* asks whether one of eight continuations of a step reached the right answer (`rollouts`). A PRM of each kind
starts as the same policy and trains on the first solutions with the same loss, batches and number of steps, so that
the labels are all that differs.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tts_study import paths
from tts_study.errors import UserError
from tts_study.micro.models import CONTEXT
from tts_study.micro.packing import ROW_TOKENS, Batch, Document, pack
from tts_study.micro.prm import Judge, prm_document, step_scores
from tts_study.micro.problems import check_steps, parse_problem
from tts_study.micro.rollouts import ROLLOUTS, judged_document
from tts_study.micro.tokenizer import build_tokenizer
from tts_study.runs.store import Run, load

KINDS = ("exact", "rollouts")
BUDGETS = (50, 100, 200, 400, 800)  # labelled solutions
START = "3b"  # the policy that every PRM here starts as
STEPS = 300  # of the optimizer
LEARNING_RATE = 2e-3
WARMUP = 20
ROWS = 4  # of a batch
COMPLETIONS = 4  # of each problem that quality is measured on


@dataclass(frozen=True)
class Labelled:
    """A sampled solution and its labels.

    Attributes:
        problem: its text.
        steps: of the solution.
        shares: of each step's rollouts, the share that reached the right answer.
    """

    problem: str
    steps: tuple[str, ...]
    shares: tuple[float, ...]

    def labels(self, kind: str) -> list[bool]:
        """Whether each step is right, as labels of one of `KINDS` have it."""
        if kind == "rollouts":
            return [share > 0 for share in self.shares]
        return check_steps(parse_problem(self.problem), list(self.steps))


def read_labelled(file: Path | None = None) -> list[Labelled]:
    """The labelled solutions, in the order in which a budget takes them.

    Raises:
        UserError: there is no such file.
    """
    file = file or labels_file()
    if not file.exists():
        raise UserError(f"there is no {file}: python -m tts_study.micro label-budget samples it")
    rows = map(json.loads, file.read_text().splitlines())
    return [Labelled(row["problem"], tuple(row["steps"]), tuple(row["shares"])) for row in rows]


def labels_file() -> Path:
    """Where the labelled solutions are."""
    return paths.data() / "micro" / "verifiers" / "labelled.jsonl"


def quality_file() -> Path:
    """Where the recorded trainings are."""
    return paths.data() / "micro" / "verifiers" / "label_budget.jsonl"


def count(labelled: Sequence[Labelled], kind: str) -> dict[str, int]:
    """What labels cost: solutions, labels (one a step), and continuations that were sampled for them.

    A solution's last step is compared with the answer and has no continuations.
    """
    labels = sum(len(each.steps) for each in labelled)
    sampled = ROLLOUTS * (labels - len(labelled)) if kind == "rollouts" else 0
    return {"solutions": len(labelled), "labels": labels, "continuations": sampled}


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


def read_quality(file: Path | None = None) -> list[dict[str, Any]]:
    """The recorded trainings.

    Raises:
        UserError: there is no such file.
    """
    file = file or quality_file()
    if not file.exists():
        raise UserError(f"there is no {file}: python -m tts_study.micro label-budget makes it")
    return [json.loads(line) for line in file.read_text().splitlines()]


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

    Raises:
        UserError: there is no such kind of labels, or nothing to train on.
    """
    if kind not in KINDS:
        raise UserError(f"unknown labels {kind!r}: choose from {', '.join(KINDS)}")
    if not labelled:
        raise UserError("a PRM needs at least one labelled solution to train on")
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


def judged_run(n_problems: int) -> Run:
    """The recorded completions that quality is measured on: the 1b's, of the test set's first problems."""
    run = load(paths.data() / "runs" / "micro" / "1b-best_of_n-n64-seed0.jsonl.gz")
    return run.of(run.problems[:n_problems])


def label_errors(labelled: Sequence[Labelled]) -> list[tuple[bool, bool, bool]]:
    """Of each label: what rollouts say, what is right, and whether it is the solution's last step."""
    return [
        (said, right, last)
        for each in labelled
        for i, (said, right) in enumerate(zip(each.labels("rollouts"), each.labels("exact"), strict=True))
        for last in [i == len(each.steps) - 1]
    ]
