"""Packed batches: several documents a row, each blind to the others, so that little of a batch is padding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

ROW_TOKENS = 256
ROWS = 16
TOKENS_PER_STEP = ROW_TOKENS * ROWS
IGNORE = -100  # cross entropy's own mark for "no target here"


@dataclass(frozen=True)
class Document:
    """One training sequence.

    Attributes:
        tokens: token ids.
        targets: per position, what to predict *at* it (the next token, say), or `IGNORE`.
        verdicts: per position, 1 or 0 where the PRM is to judge the text up to and including it, else `IGNORE`; empty
            for a policy.
    """

    tokens: list[int]
    targets: list[int]
    verdicts: Sequence[int] = ()


@dataclass(frozen=True)
class Batch:
    """Tensors of shape (ROWS, ROW_TOKENS); `mask` is (ROWS, 1, ROW_TOKENS, ROW_TOKENS), true where attention may go."""

    tokens: torch.Tensor
    targets: torch.Tensor
    verdicts: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor


def pack(documents: Iterable[Document]) -> Batch:
    """Fill the rows first-fit with documents from the stream until one fits nowhere."""
    rows: list[list[Document]] = [[] for _ in range(ROWS)]
    room = [ROW_TOKENS] * ROWS
    for document in documents:
        length = len(document.tokens)
        fitting = next((r for r in range(ROWS) if room[r] >= length), None)
        if fitting is None:
            break
        rows[fitting].append(document)
        room[fitting] -= length

    tokens, positions = torch.zeros(2, ROWS, ROW_TOKENS, dtype=torch.long)
    targets, verdicts, owner = torch.full((3, ROWS, ROW_TOKENS), IGNORE)
    for r, row in enumerate(rows):
        start = 0
        for number, document in enumerate(row):
            here = slice(start, start + len(document.tokens))
            tokens[r, here] = torch.tensor(document.tokens)
            targets[r, here] = torch.tensor(document.targets)
            positions[r, here] = torch.arange(len(document.tokens))
            owner[r, here] = number
            if document.verdicts:
                verdicts[r, here] = torch.tensor(document.verdicts)
            start = here.stop
    causal = torch.ones(ROW_TOKENS, ROW_TOKENS, dtype=torch.bool).tril()
    mask = (owner[:, :, None] == owner[:, None, :]) & causal
    return Batch(tokens, targets, verdicts, positions, mask[:, None])
