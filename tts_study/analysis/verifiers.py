"""How good must the verifier be? Accuracy of each method against the quality of the PRM that guides it.

Quality is ProcessBench's F1 (Zheng et al. 2024, arXiv 2412.06559): the harmonic mean of the accuracy at finding the
first error of wrong solutions, and at passing right ones.
"""

import json
from collections.abc import Mapping, Sequence

import pandas as pd

from tts_study import paths
from tts_study.analysis import accuracy
from tts_study.analysis.grid import Grid
from tts_study.errors import UserError
from tts_study.profiles import short_name
from tts_study.prompts.prm.rlhflow import RLHFLOW

# F1 on ProcessBench's MATH split: Zhang et al. 2025 (arXiv 2501.07301), table 7
PUBLISHED: Mapping[str, tuple[str, float]] = {
    "peiyi9979/math-shepherd-mistral-7b-prm": ("Math-Shepherd-PRM-7B", 0.295),
    "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data": ("RLHFlow-PRM-Deepseek-8B", 0.338),
    "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-7B": ("Skywork-PRM-7B", 0.536),
    "Qwen/Qwen2.5-Math-PRM-7B": ("Qwen2.5-Math-PRM-7B", 0.776),
}
MICRO = "data/micro/verifiers/quality.jsonl"
SELF_JUDGES = ("data/micro/verifiers/self-3b", "data/micro/verifiers/self-8b")
EXACT = "tts_study/micro/exact.py:exact"  # the micro world's checker, which is right by definition
PAIRS = (("best", "majority"), ("weighted", "majority"), ("dvts", "weighted"), ("beam_search", "weighted"))
PERFECT = {"f1": 1.0, "on_wrong": 1.0, "on_right": 1.0, "auroc": 1.0, "calibration_error": 0.0}


def axis(verifiers: Sequence[str] = (), f1: Sequence[float] = (), *, profile: str = "micro") -> pd.DataFrame:
    """The verifiers and their quality, the weakest first.

    Args:
        verifiers: PRMs, as a profile names them; empty: the micro world's, or for another profile those of `PUBLISHED`.
        f1: the quality of each; empty: as published, or as measured.
        profile: the name of the profile.

    Returns:
        Columns verifier (short name), model, f1, and for the micro world's also auroc, calibration_error, own_greedy.

    Raises:
        UserError: the quality of a verifier is not known, or not as many values are given as verifiers.
    """
    if f1 and len(f1) != len(verifiers):
        raise UserError(f"f1 has {len(f1)} values for {len(verifiers)} verifiers: give one for each")
    measured = _measured()
    verifiers = verifiers or list(measured if profile == "micro" else PUBLISHED)
    rows = []
    for i, model in enumerate(verifiers):
        known = measured.get(model) or (dict(f1=PUBLISHED[model][1]) if model in PUBLISHED else {})
        if f1:
            known = known | {"f1": f1[i]}
        if "f1" not in known:
            raise UserError(f"the quality of the verifier {model} is not known: give its F1 on ProcessBench in f1")
        rows.append({"verifier": short_name(model), "model": model} | known)
    return pd.DataFrame(rows).sort_values("f1", ignore_index=True)


def own_accuracy(prm: str) -> dict[str, float]:
    """How well a PRM solves problems itself, as a labelled line for a figure; nothing where it was not measured."""
    measured = _measured().get(prm, {})
    return {"the PRM itself": measured["own_greedy"]} if "own_greedy" in measured else {}


def self_judges(profile: str) -> tuple[Sequence[str], str]:
    """Policies of a profile that judge their own steps, the smallest first, and the format in which they are asked.

    Where any policy may be asked, in its own chat template: the profile's default policy, as "", and no format.
    """
    return (SELF_JUDGES, RLHFLOW.name) if profile == "micro" else (("",), "")


def _measured() -> dict[str, dict[str, float]]:
    """What `python -m tts_study.micro verifiers` measured, by the verifier's folder."""
    file = paths.root() / MICRO
    if not file.exists():
        return {}
    rows = {}
    for row in map(json.loads, file.read_text().splitlines()):
        name = row.pop("verifier")
        rows["data/micro/prm" if name == "prm" else f"data/micro/verifiers/{name}"] = row
    return rows | {EXACT: PERFECT}


def dial(found: Mapping[str, Grid], quality: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Accuracy of each method at each n, by verifier.

    Args:
        found: the grid of each verifier, by its model.
        quality: as of `axis`.
        seed: of the bootstrap.

    Returns:
        Columns verifier, f1, method, n, accuracy, low, high.
    """
    parts = [
        found[row.model].curves(seed=seed).assign(verifier=row.verifier, f1=row.f1)
        for row in quality.itertuples()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)[["verifier", "f1", "method", "n", "accuracy", "low", "high"]]


def tests(found: Mapping[str, Grid], quality: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """For each verifier, paired tests of how to use it, corrected for all of them.

    At the largest n: does choosing by the PRM beat voting without it, does a tree search beat weighted voting, does any
    other search beat beam search; and is the largest n better for Best-of-N than the smallest.
    """
    pairs = {}
    for row in quality.itertuples():
        grid = found[str(row.model)]
        by_n = {method: dict(zip(*grid.of(method), strict=True)) for method in grid.strategies}
        ns = sorted(by_n["best"])
        first, last = ns[0], ns[-1]
        others = [name for name in grid.strategies if name not in ("greedy", "pass", *sum(PAIRS, ()))]
        for a, b in (*PAIRS, *((name, "beam_search") for name in others)):
            if a in by_n and b in by_n:
                pairs[row.verifier, f"{a}@{last} - {b}@{last}"] = by_n[a][last], by_n[b][last]
        pairs[row.verifier, f"best@{last} - best@{first}"] = by_n["best"][last], by_n["best"][first]
    table = accuracy.paired_tests(pairs, seed=seed)
    keys = pd.DataFrame(table.pop("test").tolist(), columns=["verifier", "pair"])
    return keys.join(table)
