"""Sample the trained policies on training problems: the mistakes that the PRM has to learn to see."""

import asyncio
import json
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from tts_study.engines.policy import VllmPolicy
from tts_study.engines.settings import PolicySettings
from tts_study.micro.generate import generate
from tts_study.micro.models import CONTEXT
from tts_study.records import Problem

TEMPERATURES = (1.0, 1.3)  # hot samples have mistakes that the policies seldom make
CHUNK = 500  # problems sampled at once; a run that stops resumes after the last whole chunk


async def sample_policy(checkpoint: Path, out: Path, *, n_problems: int, seed: int) -> None:
    """Write one completion at each of `TEMPERATURES` for random training problems.

    Args:
        checkpoint: the policy's folder.
        out: JSONL file of {"problem", "completions"}; what it already contains is kept, and sampling resumes after it.
        n_problems: lines to write.
        seed: of the problems and of the sampling.
    """
    lines = out.read_text().splitlines(keepends=True) if out.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    out.write_text("".join(whole))  # a kill in the middle of a write leaves half a line
    done = len(whole)
    problems = list(islice(generate("train", f"samples-{checkpoint.name}-{seed}"), n_problems))
    settings = PolicySettings(model=str(checkpoint), max_model_len=CONTEXT, max_tokens=256)
    async with VllmPolicy(settings) as policy:
        with out.open("a") as file, tqdm(total=n_problems, initial=done, desc=f"samples {checkpoint.name}") as bar:
            for start in range(done, n_problems, CHUNK):
                chunk = problems[start : start + CHUNK]
                completions = await asyncio.gather(*(_completions(policy, problem.text, seed) for problem in chunk))
                for problem, texts in zip(chunk, completions, strict=True):
                    file.write(json.dumps({"problem": problem.text, "completions": texts}) + "\n")
                file.flush()
                bar.update(len(chunk))


async def _completions(policy: VllmPolicy, text: str, seed: int) -> list[str]:
    prompt = policy.prompt(Problem(id="", text=text, answer=""))
    sampled = await asyncio.gather(*(
        policy.complete(prompt, n=1, seed=seed, temperature=temperature) for temperature in TEMPERATURES
    ))
    return [generation.text for reply in sampled for generation in reply.generations]
