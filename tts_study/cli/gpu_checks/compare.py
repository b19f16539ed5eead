"""What the project's engines are compared with: plain vLLM, on as many tokens, and transformers' scores."""

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

from tts_study.cli.gpu_checks.plain import generation, plain_llm, shut_down, tokens_prompts
from tts_study.cli.gpu_checks.report import Verdict
from tts_study.profiles import Profile
from tts_study.runs.engines import policy_settings, prm_settings

TEXTS = 8  # solutions whose scores are compared with transformers'
Texts = list[tuple[int, ...]]


@dataclass
class Measured:
    """What the project's engines did, for the comparisons that follow.

    Attributes:
        seconds: of each search, by name; "sampling" and "scoring" for either alone.
        lengths: prompts and tokens to generate, of each search.
        texts: what the PRM had to read, of each search, each token once; "scoring": each distinct solution, whole.
        judged: solutions as token ids, the positions of their steps, and their scores.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    lengths: dict[str, list[tuple[tuple[int, ...], int]]] = field(default_factory=dict)
    texts: dict[str, Texts] = field(default_factory=dict)
    judged: list[tuple[tuple[int, ...], tuple[int, ...], tuple[float, ...]]] = field(default_factory=list)
    generated: int = 0


def generate_plainly(profile: Profile, measured: Measured) -> tuple[Verdict, str]:
    """Generate as many tokens by plain vLLM, for each search."""
    settings = policy_settings(profile)
    llm = plain_llm(settings)
    try:
        for name, lengths in [("warm", measured.lengths["sampling"][:16]), *measured.lengths.items()]:
            generate = generation(llm, settings, lengths)
            began = time.perf_counter()
            generate()
            measured.seconds[f"{name}, generated plainly"] = time.perf_counter() - began
    finally:
        shut_down(llm)
    return "ok", f"{measured.generated:,} tokens in {measured.seconds['sampling, generated plainly']:.1f} s"


def score_plainly(profile: Profile, args: dict, measured: Measured) -> tuple[Verdict, str]:
    """Score the same texts by plain vLLM, for each search."""
    llm = plain_llm(prm_settings(profile), **args)
    try:
        for name, texts in [("warm", measured.texts["scoring"][:16]), *measured.texts.items()]:
            began = time.perf_counter()
            llm.encode(tokens_prompts(texts), pooling_task="token_classify", use_tqdm=False)
            measured.seconds[f"{name}, scored plainly"] = time.perf_counter() - began
    finally:
        shut_down(llm)
    tokens = sum(map(len, measured.texts["scoring"]))
    return "ok", f"{tokens:,} tokens in {measured.seconds['scoring, scored plainly']:.1f} s"


def compare_scores(profile: Profile, args: dict, measured: Measured, on_gpu: bool) -> tuple[Verdict, str]:
    """Compare scores with those by transformers."""
    verdicts = args.get("hf_overrides", {}).get("classifier_from_token")
    if not verdicts:
        return "ok", "not compared: transformers has no model of this PRM's family to compare with"
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(profile.prm_model)
    device = "cuda" if on_gpu and torch.cuda.is_available() else "cpu"
    model: Any = AutoModelForCausalLM.from_pretrained(profile.prm_model, dtype=getattr(torch, profile.dtype))
    model = model.to(device)
    bad, good = (tokenizer.convert_tokens_to_ids(verdict) for verdict in verdicts)
    differences: list[float] = []
    for text, positions, scores in measured.judged[:TEXTS]:
        with torch.inference_mode():
            logits = model(torch.tensor([list(text)], device=device)).logits[0, list(positions)].float()
        expected = logits[:, [bad, good]].softmax(-1)[:, 1].tolist()
        differences += [abs(a - b) for a, b in zip(expected, scores, strict=False)]
    mean, most = statistics.mean(differences), max(differences)
    said = f"{len(differences)} steps in {profile.dtype}: differ from transformers by {mean:.4f}, at most {most:.4f}"
    return ("ok" if mean < 0.01 else "differs" if mean < 0.05 else "FAILED"), said
