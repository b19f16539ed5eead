"""Labels without a checker: how often continuations of a step reach the right answer.

Source: Math-Shepherd (Wang et al. 2023, arXiv 2312.08935), section 3.3, hard estimation: a step is called right if one
of the continuations from it reaches the right answer. Answers are compared as text: one in another order of its terms
counts as wrong, an error of the kind that such labels have with real models, too.
"""

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from tts_study.engines.interface import Policy
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.settings import PolicySettings
from tts_study.micro.generate import generate
from tts_study.micro.label_budget import ROLLOUTS
from tts_study.micro.models import CONTEXT
from tts_study.micro.packing import IGNORE, ROW_TOKENS, Document
from tts_study.micro.problems import MicroProblem
from tts_study.micro.records import answer_of
from tts_study.micro.tokenizer import ASSISTANT, END, USER
from tts_study.prompts.steps import split_steps
from tts_study.records import Problem

MOST_STEPS = 16
AT_ONCE = 128  # problems


async def sample_rollouts(checkpoint: Path, out: Path, *, n_problems: int, seed: int) -> None:
    """Write one solution of each of some training problems, with the rollouts of its steps.

    Args:
        checkpoint: the policy's folder.
        out: JSONL file of {"problem", "steps", "shares"}; a step's share is that of its rollouts that ended right.
        n_problems: lines to write.
        seed: of the problems and of the sampling.
    """
    problems = list(islice(generate("train", f"rollouts-{checkpoint.name}-{seed}"), n_problems))
    settings = PolicySettings(model=str(checkpoint), max_model_len=CONTEXT, max_tokens=256)
    room = asyncio.Semaphore(AT_ONCE)
    async with VllmPolicy(settings) as policy:
        with tqdm(total=n_problems, desc=f"rollouts {checkpoint.name}") as bar:

            async def line(problem: MicroProblem) -> str:
                async with room:
                    steps, shares = await rollouts(policy, problem, seed=seed)
                bar.update()
                return json.dumps({"problem": problem.text, "steps": steps, "shares": shares}) + "\n"

            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text("".join(await asyncio.gather(*map(line, problems))))


async def rollouts(policy: Policy, problem: MicroProblem, *, seed: int) -> tuple[list[str], list[float]]:
    """One solution, step by step, and for each step the share of its continuations that reach the right answer."""
    right = rf"\boxed{{{answer_of(problem)}}}"
    prefix = policy.prompt(Problem(id="", text=problem.text, answer=""))
    steps: list[str] = []
    shares: list[float] = []
    for _ in range(MOST_STEPS):
        (step,) = (await policy.steps(prefix, n=1, seed=seed)).generations
        prefix, steps = prefix + step.token_ids, [*steps, step.text.strip()]
        if step.stop != "step":
            shares.append(float(steps[-1] == right))
            break
        ends = (await policy.complete(prefix, n=ROLLOUTS, seed=seed)).generations
        shares.append(sum(split_steps(end.text)[-1:] == (right,) for end in ends) / ROLLOUTS)
    return steps, shares


def read_rollouts(tokenizer: PreTrainedTokenizerFast, file: Path) -> list[Document]:
    """The solutions with their labels, those too long for a row left out."""
    lines = map(json.loads, file.read_text().splitlines())
    documents = [
        judged_document(tokenizer, line["problem"], line["steps"], [share > 0 for share in line["shares"]])
        for line in lines
    ]
    return [document for document in documents if len(document.tokens) <= ROW_TOKENS]


def judged_document(
    tokenizer: PreTrainedTokenizerFast, problem: str, steps: Sequence[str], labels: Sequence[bool]
) -> Document:
    """A solution in the PRM's format with a label for each step: nothing to predict but a verdict after each."""
    user, assistant, end, plus = map(tokenizer.convert_tokens_to_ids, (USER, ASSISTANT, END, "+"))
    encode = partial(tokenizer.encode, add_special_tokens=False)
    tokens = [user, *encode(problem + " ")]
    verdicts = [IGNORE] * len(tokens)
    for step, label in zip(steps, labels, strict=True):
        written = [*encode(step), end, assistant]
        tokens += [*written, plus, end, user]
        verdicts += [*[IGNORE] * (len(written) - 1), int(label), IGNORE, IGNORE, IGNORE]
    return Document(tokens[:-3], [IGNORE] * (len(tokens) - 3), verdicts[:-3])
