"""`tts-study check-gpu`: one table that shows whether the study works on this machine."""

import argparse
import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tts_study.cli.numbers import positive
from tts_study.cli.profile import add_profile, profile_of
from tts_study.errors import UserError

if TYPE_CHECKING:
    from tts_study.profiles import Profile
    from tts_study.records import Problem

SIZES = ("tiny", "1b")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `check-gpu`."""
    check = commands.add_parser("check-gpu", help="check in ten minutes whether this machine is fit for the study")
    add_profile(check)
    check.set_defaults(profile="llama", command=_check)
    check.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="cpu: what can be checked without a GPU")
    check.add_argument(
        "--offline", choices=SIZES, nargs="?", const="1b", help="random Llamas of this size, made here: needs no hub"
    )
    check.add_argument("--n", type=positive, default=64, help="completions of each problem")
    check.add_argument("--problems", type=positive, default=8, help="the number of problems")
    check.add_argument("--minutes", type=positive, default=10, help="no check begins after that")
    check.add_argument("--out", type=Path, help="a file for the table, too")


def _check(arguments: argparse.Namespace) -> None:
    from tts_study.cli.gpu_checks.gpu import check
    from tts_study.cli.gpu_checks.report import Report
    from tts_study.engines.build import on_cpu
    from tts_study.problems.load import load_problems

    on_gpu = arguments.device == "gpu"
    if on_gpu == on_cpu():
        build = "CPUs" if on_gpu else "GPUs"
        raise UserError(f"vLLM's build for {build} is installed: check with --device {'cpu' if on_gpu else 'gpu'}")
    if arguments.n % 4:
        raise UserError(f"beam search and DVTS need an n that is a multiple of 4, and {arguments.n} is not")
    profile = profile_of(arguments)
    if profile.judges_itself and not arguments.offline:
        raise UserError(
            "check-gpu compares a PRM's scores with transformers', and a policy that judges itself has no "
            "PRM: name one with --prm, or add --offline"
        )
    report = Report(arguments.minutes, lambda made: print(f"{made.verdict:8} {made.name}: {made.found}", flush=True))
    with tempfile.TemporaryDirectory() as folder:
        if arguments.offline:
            profile, problems = _offline(profile, arguments.offline, Path(folder)), made_up_problems(arguments.problems)
        else:
            problems = load_problems(profile, arguments.problems)
        asyncio.run(check(profile, problems, report, n=arguments.n, on_gpu=on_gpu))
    print(f"\n{report}")
    if arguments.out:
        arguments.out.write_text(f"{report}\n")
    if report.failed:
        raise UserError(f"failed or not made: {', '.join(report.failed)}; the table says why")


def _offline(profile: "Profile", size: str, folder: Path) -> "Profile":
    """The profile with random models in place of its own."""
    from tts_study.engines.random_models import ONE_B, TINY, make_llama

    shape = {"tiny": TINY, "1b": ONE_B}[size]
    policy, prm = (str(make_llama(folder / name, shape, seed=seed)) for seed, name in enumerate(("policy", "prm")))
    return replace(
        profile, policies={size: policy}, policy=size, prm=prm, prm_format="rlhflow", chat_template=None,
        prm_chat_template=None,
    )  # fmt: skip


def made_up_problems(count: int) -> "tuple[Problem, ...]":
    """Problems for models that cannot solve any."""
    from tts_study.records import Problem

    text = "Let $x$ and $y$ be whole numbers with $x + y = {}$ and $x - y = {}$. What is $x y$?"
    return tuple(Problem(f"made-up/{i}", text.format(3 * i + 5, i + 1), "0") for i in range(count))
