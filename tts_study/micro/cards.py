"""Write the model card of each micro checkpoint, from what `python -m tts_study.micro evaluate` measured."""

import math
from pathlib import Path
from typing import Any

from safetensors import safe_open

from tts_study.micro.evaluate import PRM_NS, N
from tts_study.micro.models import POLICIES, PRM_ROUNDS

HEADER = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# {title}

{text}

Trained from scratch by `python -m tts_study.micro train`, on problems made by `tts_study.micro.problems`, with seed 0;
the training log is `log.jsonl`. It knows nothing but these problems. {size:,} parameters, in
bfloat16.

Measured by `python -m tts_study.micro evaluate --seed {seed} --problems {problems} --json` on {problems} new problems
of the test split, {n} completions each, temperature 1, aggregation min. All numbers but AUROC are percentages.

"""
POLICY_TEXT = "A micro policy: it stands in for the {name} model of the study's ladder where there is no GPU."
PRM_TEXT = """The micro process reward model: shown a solution step by step, it answers "+" or "-" after each
step, in RLHFlow's chat format. P("+") is the step's score. It started as the micro 8b policy with three more layers,
and learned from right solutions, edited ones, and samples of all four policies, labelled by an exact step checker."""


def write_cards(report: dict[str, Any], folder: Path) -> None:
    """Write `README.md` into the folder of each model that the report measures."""
    for spec in POLICIES:
        if spec.name in report["policies"]:
            text = POLICY_TEXT.format(name=spec.name)
            card = _header(report, f"tts-study micro {spec.name}", text, folder / spec.name)
            (folder / spec.name / "README.md").write_text(card + policy_table(report["policies"][spec.name]))
    card = _header(report, "tts-study micro PRM", PRM_TEXT, folder / PRM_ROUNDS[-1].name)
    (folder / PRM_ROUNDS[-1].name / "README.md").write_text(card + prm_tables(report))


def _header(report: dict[str, Any], title: str, text: str, folder: Path) -> str:
    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        size = sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())
    return HEADER.format(
        title=title, text=text, size=size, seed=report["seed"], problems=report["problems"], n=report["n"]
    )


def policy_table(measured: dict[str, Any]) -> str:
    """A policy's accuracies, overall and by level."""
    kinds = [kind for kind in measured if kind != "prm"]
    rows = [[kind, *(f"{value:.1f}" for value in measured[kind].values())] for kind in kinds]
    return _table(["", *measured["greedy"]], rows)


def prm_tables(report: dict[str, Any]) -> str:
    """What the PRM makes of each policy's samples: steps first, then the choice among completions."""
    measured = {name: policy["prm"] for name, policy in report["policies"].items()}
    kinds = next(iter(measured.values()))["steps"]
    steps = [[name, *(f"{prm['steps'][kind]}" for kind in kinds)] for name, prm in measured.items()]
    choices = [
        [name, method, *(f"{prm[method][n]:.1f}" for n in PRM_NS)]
        for name, prm in measured.items()
        for method in ("best", "weighted", "majority")
    ]
    first = [[name, f"{prm['correct_ranked_first']:.1f}"] for name, prm in measured.items()]
    return (
        "## Steps\n\nOf each completion, the steps up to and including the first wrong one; a step is passed above "
        f"0.5.\n\n{_table(['samples of', *(kind.replace('_', ' ') for kind in kinds)], steps)}\n"
        "## Choices\n\nAccuracy of the answer that each rule picks from n completions.\n\n"
        f"{_table(['samples of', 'rule', *(f'n = {n}' for n in PRM_NS)], choices)}\n"
        f"How often a right completion is ranked first among {N}, on problems that have one.\n\n"
        f"{_table(['samples of', 'ranked first'], first)}"
    )


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
