"""`tts-study solve`: one question, with the answer, its support and its tree."""

import argparse
from typing import TYPE_CHECKING

from tts_study.cli.numbers import natural, positive
from tts_study.cli.profile import add_options, add_profile, options_of, profile_of
from tts_study.errors import one_line
from tts_study.strategies.tree import original

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tts_study.records import Node, SearchResult

MOST_TEXT = 100  # characters of a step that a line shows


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `solve`."""
    solve = commands.add_parser("solve", help="answer one question of your own; needs no right answer")
    solve.add_argument("question", help='such as "Start with 42, subtract 17, multiply by 3."')
    add_profile(solve)
    solve.add_argument("--strategy", default="best_of_n", help="as of `run`; best_of_n by default")
    add_options(solve)
    solve.add_argument("--n", type=positive, default=16, help="generations to spend; 16 by default")
    solve.add_argument("--seed", type=natural, default=0, help="of every random draw")
    solve.set_defaults(command=_solve)


def _solve(arguments: argparse.Namespace) -> None:
    from tts_study.study import Study

    with Study(profile_of(arguments), seed=arguments.seed) as study:
        solution = study.solve(arguments.question, arguments.strategy, arguments.n, **options_of(arguments))
    print(f"answer: {'none' if solution.answer is None else one_line(solution.answer)}")
    support = solution.support.assign(answer=solution.support["answer"].map(one_line))
    print("\nanswers, and the support of each:")
    print(support.to_string(index=False, float_format="{:.3f}".format, na_rep="-") if len(support) else "none")
    unanswered = len(solution.result.completions) - int(support["completions"].sum())
    print(f"{unanswered} of {len(solution.result.completions)} completions give no answer")
    if solution.result.tree:
        print("\nthe tree (score, fate and text of each step; steps that were dropped are only counted):")
        print("\n".join(tree_lines(solution.result)))


def tree_lines(result: "SearchResult") -> "Iterator[str]":
    """The tree as indented lines: steps that were kept, and the number of the others beside them."""
    nodes = result.tree
    children: dict[int | None, list[int]] = {}
    for number, node in enumerate(nodes):
        parent = None if node.parent is None else original(nodes, node.parent)
        children.setdefault(parent, []).append(number)

    def below(parent: int | None, depth: int) -> list[tuple[int | None, int, str]]:
        """What is shown under a node: the children that were kept, then how many others there are; last one first."""
        all_of_them = children.get(parent, ())
        kept = [i for i in all_of_them if nodes[i].fate in ("kept", "finished", "cut")]
        dropped = len(all_of_them) - len(kept)
        more: list[tuple[int | None, int, str]] = [(None, depth, f"({dropped} pruned or repeated)")] if dropped else []
        return [*more, *((i, depth, _line(nodes[i])) for i in reversed(kept))]

    waiting = below(None, 0)  # a list and no recursion: a tree may have any depth
    while waiting:
        i, depth, line = waiting.pop()
        yield f"{'  ' * depth}{line}"
        if i is not None:
            waiting += below(i, depth + 1)


def _line(node: "Node") -> str:
    score = "  -  " if node.score is None else f"{node.score:.3f}"
    return f"{score} {node.fate:8} {one_line(node.text, MOST_TEXT)}"
