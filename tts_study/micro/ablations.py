"""What one setting of a search changes: a table of docs/claims.md, printed by `python -m tts_study.micro claims`.

Each run in data/runs/micro-ablations differs in one setting from a recorded run of the micro profile, at the same n and
on the first `PROBLEMS` problems: temperature (1 otherwise), beam_width (4), lookahead (0) or aggregation (min). Its
file is named after the setting: temperature_0.8-1b-dvts-n16-seed0.jsonl.gz.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from tts_study import paths
from tts_study.analysis.accuracy import accuracy_P
from tts_study.analysis.grading import grade
from tts_study.analysis.inference import PairedTest, holm, paired_test
from tts_study.analysis.side_by_side import aggregation_of
from tts_study.micro.claims import POLICIES
from tts_study.records import Problem
from tts_study.runs import store
from tts_study.strategies import METHODS, SEARCHES
from tts_study.study import Study

N, PROBLEMS, SEED = 16, 100, 0
Row = tuple[str, str, str]  # setting and value, method, policy


def table() -> str:
    """Each setting's difference from the usual one, as a Markdown table with a column for each policy."""
    found = dict(_tests(Study("micro", n_problems=PROBLEMS).problems))
    policies = dict.fromkeys(policy for *_, policy in found)
    corrected = dict(zip(found, holm([test.p_value for test in found.values()]), strict=True))
    lines = [
        f"| setting | method | {' | '.join(policies)} | detectable |",
        "| --- | --- |" + " ---: |" * (len(policies) + 1),
    ]
    for setting, method in dict.fromkeys((setting, method) for setting, method, _ in found):
        tests = [found[setting, method, policy] for policy in policies]
        cells = [
            f"{100 * test.difference:+.1f} ({100 * test.low:+.1f} to {100 * test.high:+.1f})"
            f"{'*' * bool(corrected[setting, method, policy] < 0.05)}"
            for policy, test in zip(policies, tests, strict=True)
        ]
        seen = max(test.detectable for test in tests)
        lines.append(f"| {setting} | {method} | {' | '.join(cells)} | {100 * seen:.1f} |")
    return "\n".join(lines) + "\n"


def _tests(problems: Sequence[Problem]) -> Iterator[tuple[Row, PairedTest]]:
    """The paired test of each recorded setting, method and policy."""
    family_P = np.array([f"{problem.subject} {problem.level}" for problem in problems])
    usual = {policy: Study("micro", policy=policy, n_problems=PROBLEMS, seed=SEED) for policy in POLICIES}
    for path in sorted((paths.data() / "runs" / "micro-ablations").glob("*.jsonl.gz")):
        setting, policy, _ = path.name.split("-", 2)
        run = store.load(path).of(problems)
        graded, aggregation = grade(run.problems, run.results), aggregation_of(run)
        search = SEARCHES[run.header["strategy"]]
        for method in METHODS.values():
            if search.name not in (method.search.name, *method.search.contained_in):
                continue
            changed_P = accuracy_P(graded, method.rule, N, aggregation=aggregation, seed=SEED)
            before_P = usual[policy].run(method, N).solved_P
            row = setting.replace("_", " "), method.name, policy
            yield row, paired_test(changed_P, before_P, family_P, seed=SEED)
