"""Reading the tree of a search: the path to a node, the completion that ends there, and why a node was dropped."""

from collections.abc import Sequence
from dataclasses import replace

from tts_study.records import Completion, Fate, Node


def path(tree: Sequence[Node], node: int) -> tuple[int, ...]:
    """The nodes from the first step to `node`, both included."""
    way = []
    at: int | None = node
    while at is not None:
        way.append(at)
        at = tree[at].parent
    return tuple(reversed(way))


def leaves(tree: Sequence[Node]) -> tuple[int, ...]:
    """The nodes that nothing follows, in the tree's order."""
    parents = {node.parent for node in tree}
    return tuple(i for i in range(len(tree)) if i not in parents)


def finished(tree: Sequence[Node], node: int) -> bool:
    """Whether the model ended the solution there itself; a repetition of an ended solution is one, too."""
    return tree[original(tree, node)].fate == "finished"


def original(tree: Sequence[Node], node: int) -> int:
    """What a duplicate repeats; any other node itself."""
    twin = tree[node].twin
    return node if twin is None else twin


def merged(tree: Sequence[Node]) -> list[Node]:
    """The tree as it is drawn: copies that kept places of their own become duplicates of the first of them.

    The first one gets the best fate of all: it is kept if any copy is.
    """
    ranks: tuple[Fate, ...] = ("finished", "kept", "cut", "pruned")
    nodes = list(tree)
    first: dict[tuple[int | None, str, bool], int] = {}
    for i, node in enumerate(tree):
        if node.twin is not None:
            continue
        parent = None if node.parent is None else original(nodes, node.parent)
        at = first.setdefault((parent, node.text, node.fate == "finished"), i)
        if at != i:
            nodes[i] = replace(node, fate="duplicate", twin=at)
            nodes[at] = replace(nodes[at], fate=min(nodes[at].fate, node.fate, key=ranks.index))
    # a duplicate of a copy is one of the first copy
    return [node if node.twin is None else replace(node, twin=original(nodes, node.twin)) for node in nodes]


def completion(tree: Sequence[Node], leaf: int) -> Completion:
    """The attempt that ends at a node; empty steps are left out. What has a text but no score is a thought."""
    way = [tree[i] for i in path(tree, leaf)]
    shown = [node for node in way if node.score is not None]
    return Completion(
        steps=tuple(node.text for node in shown),
        tokens=sum(node.tokens for node in way),
        finished=finished(tree, leaf),
        step_scores=tuple(node.score for node in shown if node.score is not None),
        leaf=leaf,
        thought="".join(node.text for node in way if node.score is None),
    )


def why(tree: Sequence[Node], node: int) -> str:
    """The fate of a node and its reason, in a few words for the reader of a drawing."""
    value = f"value {tree[node].value:.2f}"
    match tree[node].fate:
        case "kept":
            return f"kept: {value} is among the best"
        case "pruned":
            return f"pruned: {value} is not among the best"
        case "finished":
            return f"finished: the model ended it, {value}"
        case "cut":
            return f"cut: it reached a limit of tokens or steps, {value}"
        case "duplicate":
            return f"duplicate: it reads as node {tree[node].twin} does"
