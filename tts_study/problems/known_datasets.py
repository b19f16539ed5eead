"""Data sets on the Hugging Face hub whose columns, split or configuration are not MATH-500's.

`load_profile(…, dataset=NAME)` sets these fields together with the name; fields that are given have priority.
"""

from collections.abc import Mapping
from types import MappingProxyType

DATASETS: Mapping[str, Mapping[str, str]] = MappingProxyType({
    "openai/gsm8k": dict(dataset_config="main", problem_column="question"),
    "HuggingFaceH4/aime_2024": dict(dataset_split="train", id_column="id"),
    "AI-MO/aimo-validation-aime": dict(dataset_split="train", id_column="id"),
    "AI-MO/aimo-validation-amc": dict(dataset_split="train", id_column="id"),
    "Maxwell-Jia/AIME_2024": dict(
        dataset_split="train", id_column="ID", problem_column="Problem", answer_column="Answer",
        solution_column="Solution",
    ),
    "math-ai/aime25": dict(id_column="id"),
    "yentinglin/aime_2025": dict(dataset_split="train", id_column="id"),
})  # fmt: skip
