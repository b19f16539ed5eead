"""The commands of `python -m tts_study.micro`: train, evaluate, verifiers and others."""

import argparse
import asyncio
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tts_study import paths
from tts_study.cli.numbers import natural, positive
from tts_study.errors import UserError

PROG = "python -m tts_study.micro"
TEST_PROBLEMS = 500
KINDS = 20  # of problems: four subjects, five levels
ROLLED_OUT = 1_500  # training problems that the verifier from rollouts learns from
SAMPLED_PROBLEMS = 6_000  # training problems that each policy is sampled on for the PRM


def add_commands(commands: Any) -> None:
    """Add the commands."""
    train = commands.add_parser("train", help="train the policies and the PRM from scratch; resumes where it was")
    train.add_argument("--out", type=Path, default=paths.root() / "out" / "micro", help="folder for all checkpoints")
    train.add_argument("--seed", type=natural, default=0)
    train.add_argument("--jobs", type=positive, default=2, help="policies trained at once, and threads for the PRM")
    train.set_defaults(command=_train)

    evaluate = commands.add_parser("evaluate", help="measure every policy and the PRM on new problems")
    evaluate.add_argument("--seed", type=natural, required=True, help="of the problems and of the sampling")
    evaluate.add_argument("--problems", type=positive, default=200, help=f"a multiple of {KINDS}")
    evaluate.add_argument("--policy", action="append", default=[], help="only this one; may be given several times")
    evaluate.add_argument("--prm", help="another PRM's checkpoint")
    evaluate.add_argument("--json", action="store_true", help="end with all numbers as one line of JSON")
    evaluate.add_argument("--cards", type=Path, help="folder of the checkpoints, to write the model cards there")
    evaluate.set_defaults(command=_evaluate)

    verifiers = commands.add_parser("verifiers", help="train and measure the verifiers of graded quality")
    verifiers.add_argument("--out", type=Path, default=paths.data() / "micro" / "verifiers", help="their folder")
    verifiers.add_argument("--seed", type=natural, default=0)
    verifiers.add_argument("--problems", type=positive, default=100, help="whose recorded completions are judged")
    verifiers.add_argument("--solve", type=positive, default=100, help=f"own solutions; a multiple of {KINDS}")
    verifiers.set_defaults(command=_verifiers)

    judge = commands.add_parser("self-judge", help="train and measure a policy that judges its own steps")
    judge.add_argument("--policy", required=True, help="that it starts as, such as 3b")
    judge.add_argument("--out", type=Path, help="its folder; data/micro/verifiers/self-POLICY if not given")
    judge.add_argument("--seed", type=natural, default=0)
    judge.add_argument("--problems", type=positive, default=100, help="whose recorded completions are judged")
    judge.add_argument("--solve", type=positive, default=400, help=f"new problems to solve; a multiple of {KINDS}")
    judge.set_defaults(command=_self_judge)

    budget = commands.add_parser("label-budget", help="train PRMs on few and many labels, exact ones and by rollouts")
    budget.add_argument("--seed", type=natural, default=0, help="of the trainings' batches")
    budget.add_argument("--problems", type=positive, default=100, help="whose recorded completions are judged")
    budget.add_argument("--out", type=Path, help="file of the trainings; the recorded one if not given")
    budget.set_defaults(command=_label_budget)

    claims = commands.add_parser("claims", help="print the tables of docs/claims.md, from the recorded runs")
    claims.set_defaults(command=_claims)

    problems = commands.add_parser("problems", help="write the test set, in MATH-500's columns")
    problems.add_argument("--out", type=Path, default=paths.data() / "micro" / "test.jsonl")
    problems.set_defaults(command=_problems)


def _train(args: argparse.Namespace) -> None:
    from tts_study.micro.models import POLICIES, PRM_ROUNDS
    from tts_study.micro.prm import train_prm
    from tts_study.micro.sampling import sample_policy

    samples = args.out / "samples"
    samples.mkdir(parents=True, exist_ok=True)
    largest_first = reversed(POLICIES)  # so that the long ones do not wait for the short ones
    with ProcessPoolExecutor(args.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for job in [pool.submit(_train_policy, spec.name, args.out, args.seed) for spec in largest_first]:
            job.result()
    for spec in POLICIES:
        file = samples / f"{spec.name}.jsonl"
        asyncio.run(sample_policy(args.out / spec.name, file, n_problems=SAMPLED_PROBLEMS, seed=args.seed))
    first, second = PRM_ROUNDS
    files = [samples / f"{spec.name}.jsonl" for spec in POLICIES]
    # the first round learns from the policies that err often, the second from all, the strongest one's samples first
    for spec, start, seen in ((first, args.out / "8b", files[:-1]), (second, args.out / first.name, files[::-1])):
        if not _is_trained(args.out / spec.name):
            train_prm(start, seen, args.out / spec.name, args.seed, spec, threads=args.jobs)


def _train_policy(name: str, out: Path, seed: int) -> None:
    from tts_study.micro.models import POLICIES
    from tts_study.micro.training import train_policy

    spec = next(spec for spec in POLICIES if spec.name == name)
    if not _is_trained(out / name):
        train_policy(spec, out / name, seed)


def _is_trained(folder: Path) -> bool:
    return (folder / "tokenizer.json").exists()  # written last


def _evaluate(args: argparse.Namespace) -> None:
    if args.problems % KINDS:
        raise UserError(
            f"--problems must be a multiple of {KINDS}, and {args.problems} is not: "
            "then each subject and level is asked equally often"
        )
    from tts_study.micro.cards import write_cards
    from tts_study.micro.evaluate import evaluate

    report = asyncio.run(evaluate(args.seed, args.problems, args.policy, prm=args.prm))
    for name, policy in report["policies"].items():
        overall = {key: value["overall"] for key, value in policy.items() if key != "prm"}
        print(f"{name:>4}  {overall}\n      PRM {policy['prm']}")
    if args.cards:
        write_cards(report, args.cards)
    if args.json:
        print(json.dumps(report))


def _verifiers(args: argparse.Namespace) -> None:
    from tts_study.micro.rollouts import sample_rollouts
    from tts_study.micro.verifiers import VERIFIERS, measure_verifier, train_verifiers, write_quality
    from tts_study.runs.store import load

    micro, recorded = paths.data() / "micro", paths.data() / "runs" / "micro"
    small = ("1b", "3b")
    if not all(_is_trained(args.out / name) for name in VERIFIERS):
        rollouts = paths.root() / "out" / "micro" / f"rollouts-{small[0]}.jsonl"
        if not rollouts.exists():
            asyncio.run(sample_rollouts(micro / small[0], rollouts, n_problems=ROLLED_OUT, seed=args.seed))
        train_verifiers(micro / "prm", rollouts, args.out, args.seed)
    runs = [load(recorded / f"{name}-best_of_n-n64-seed0.jsonl.gz") for name in small]
    runs = [run.of(run.problems[: args.problems]) for run in runs]
    rows = []
    for folder in (*(args.out / name for name in VERIFIERS), micro / "prm"):
        rows.append(measure_verifier(folder, runs, solved=args.solve))
        print(json.dumps(rows[-1]), flush=True)
    write_quality(rows, args.out)


def _self_judge(args: argparse.Namespace) -> None:
    from tts_study.micro.sampling import sample_policy
    from tts_study.micro.self_judging import SAMPLED, measure, train_self_judge, write_card
    from tts_study.runs.store import load

    micro, name = paths.data() / "micro", args.policy
    out = args.out or micro / "verifiers" / f"self-{name}"
    samples = paths.root() / "out" / "micro" / f"samples-{name}.jsonl"
    if not _is_trained(out):
        samples.parent.mkdir(parents=True, exist_ok=True)
        asyncio.run(sample_policy(micro / name, samples, n_problems=SAMPLED, seed=args.seed))
        train_self_judge(micro / name, samples, out, args.seed)
    recorded = paths.data() / "runs" / "micro"
    run = load(next(recorded.glob(f"{name}-best_of_n-n*-seed0.jsonl.gz")))
    rows = measure([micro / name, out], run.of(run.problems[: args.problems]), solved=args.solve)
    print(*map(json.dumps, rows), sep="\n")
    write_card(rows, out)


def _label_budget(args: argparse.Namespace) -> None:
    from tts_study.analysis.label_budget import agreement, curve, differences
    from tts_study.micro import label_budget
    from tts_study.micro.label_training import record
    from tts_study.micro.rollouts import sample_rollouts

    labelled, out = label_budget.labels_file(), args.out or label_budget.quality_file()
    if not labelled.exists():
        policy, most = paths.data() / "micro" / "1b", max(label_budget.BUDGETS)
        asyncio.run(sample_rollouts(policy, labelled, n_problems=most, seed=1))
    rows = record(out, seed=args.seed, n_problems=args.problems)
    for table in (agreement(label_budget.label_errors(label_budget.read_labelled())), curve(rows), differences(rows)):
        print(table.round(3).to_string(), end="\n\n")


def _claims(args: argparse.Namespace) -> None:
    from tts_study.micro import ablations
    from tts_study.micro.claims import POLICIES, by_subject, by_verifier, soundness, table

    print(table())
    print(ablations.table())
    for policy in POLICIES:
        print(by_verifier(policy))
    print(by_subject())
    print(soundness())


def _problems(args: argparse.Namespace) -> None:
    from tts_study.micro.generate import distinct, generate
    from tts_study.micro.records import as_problems

    args.out.parent.mkdir(parents=True, exist_ok=True)
    problems = as_problems(distinct(generate("test", 0), TEST_PROBLEMS), "micro-test")
    with args.out.open("w") as file:
        for p in problems:
            columns = dict(unique_id=p.id, problem=p.text, solution=p.solution, answer=p.answer, subject=p.subject)
            file.write(json.dumps(columns | {"level": p.level}) + "\n")
    print(f"{len(problems)} problems in {args.out}")
