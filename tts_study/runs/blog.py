"""Which data sets in the blog's columns to read together: the blog's own, others, or this project's runs, exported.

The blog (https://huggingface.co/spaces/HuggingFaceH4/blogpost-scaling-test-time-compute) published the completions of
Llama-3.2-1B-Instruct on MATH-500, a configuration for each budget and each seed from 0 to 4. Best-of-N and DVTS have
one of n = 256, which contains the smaller n; beam search has one for each n. Names as in the recipes of
search-and-learn.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_study import paths
from tts_study.errors import UserError
from tts_study.problems.load import load_problems
from tts_study.profiles import load_profile
from tts_study.runs import store
from tts_study.runs.export import published_rows, write
from tts_study.runs.published import load_published
from tts_study.runs.store import Run

OWNER, POLICY = "HuggingFaceH4", "Llama-3.2-1B-Instruct"
CONFIG = "HuggingFaceH4_MATH-500--T-0.8--top_p-1.0--n-{n}--{search}--seed-{seed}--agg_strategy-last"
SAMPLED, SEARCHED = "max_tokens-2048--bsz-8", "m-4--iters-40--look-0"
# data set, what its configurations say of the search, and their n
BLOG = (
    ("best-of-N", SAMPLED, (256,)),
    ("beam-search", SEARCHED, (4, 16, 64, 256)),
    ("DVTS", SEARCHED, (256,)),
)
# in their place, runs of this project, with a smaller policy and smaller n
RECORDED = ("1b-best_of_n-n64", "1b-beam_search-n4", "1b-beam_search-n16", "1b-beam_search-n64", "1b-dvts-n64")


@dataclass(frozen=True)
class Source:
    """One data set in the blog's columns.

    Attributes:
        dataset: a .jsonl or .parquet file, or a name on the Hugging Face hub.
        config: the hub data set's configuration.
    """

    dataset: str
    config: str | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (re.sub(r"\.(jsonl|parquet)$", "", Path(self.dataset).name), self.config)))


def of_blog(seed: int = 0) -> tuple[Source, ...]:
    """What the blog published of one seed, from 0 to 4."""
    return tuple(
        Source(f"{OWNER}/{POLICY}-{name}-completions", CONFIG.format(n=n, search=search, seed=seed))
        for name, search, ns in BLOG
        for n in ns
    )


def named(datasets: Sequence[str], configs: Sequence[str] = ()) -> tuple[Source, ...]:
    """Data sets by name, each with its configuration, or all with one.

    Raises:
        UserError: one of the two is not a list, or their numbers do not match.
    """
    for what, given, example in (("datasets", datasets, "mine.parquet"), ("configs", configs, "n-256")):
        if not isinstance(given, list | tuple):
            raise UserError(f"{what} must be a list such as [{example!r}], and {given!r:.40} is not")
    if len(configs) > 1 and len(configs) != len(datasets):
        raise UserError(
            f"{len(datasets)} data sets and {len(configs)} configurations do not match: "
            "give a configuration for each, or one for all"
        )
    return tuple(Source(dataset, configs[i % len(configs)] if configs else None) for i, dataset in enumerate(datasets))


def of_recorded(folder: Path, limit: int | None = None) -> tuple[Source, ...]:
    """The recorded runs of the micro profile's 1b, exported to files in a folder, as `tts-study export` does.

    Args:
        folder: where the files are written; those of before are replaced.
        limit: only this number of problems.
    """
    asked = load_problems(load_profile("micro"), limit)
    found = []
    for name in RECORDED:
        run = store.load(paths.data() / "runs" / "micro" / f"{name}-seed0.jsonl.gz")
        target = folder / f"{name}.parquet"
        write(published_rows(run.of(asked)), target, replace=True)
        found.append(Source(str(target)))
    return tuple(found)


def load(sources: Iterable[Source], **options: Any) -> dict[str, Run]:
    """Read data sets as runs, by their names.

    Args:
        sources: the data sets.
        options: as of `load_published`.

    Raises:
        UserError: as `load_published`; two data sets have the same name.
    """
    runs: dict[str, Run] = {}
    for source in sources:
        if str(source) in runs:
            raise UserError(f"two data sets are called {str(source)!r}: give each once, and different names to files")
        runs[str(source)] = load_published(source.dataset, config=source.config, **options)
    return runs
