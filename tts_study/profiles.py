"""Profiles: which policies, PRM, data set, prompts and sampling settings belong together.

`micro` runs anywhere: tiny models trained for this study, on the micro world's problems. `llama` is the setting of the
blog "Scaling test-time compute with open models", taken from its repository search-and-learn (`src/sal/config.py`).
`qwen2.5` and `qwen2.5-math` are the same study with Qwen's ladders and PRM. docs/models.md says what each needs.
Every field can be overridden: `load_profile("micro", temperature=0.7, policy="3b")`.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any, get_args

from tts_study import paths
from tts_study.engines.checkpoints import HUB_NAME
from tts_study.errors import UserError
from tts_study.problems.known_datasets import DATASETS
from tts_study.prompts.policy import LLAMA3_TEMPLATE, MATH_SYSTEM_PROMPT, QWEN_MATH_SYSTEM_PROMPT
from tts_study.prompts.prm import AUTO, FORMATS
from tts_study.prompts.prm.trl import SEPARATOR, separator_of
from tts_study.strategies.aggregation import AGGREGATIONS

# fields about the machine, not about what is computed: runs that differ only in these are the same run
MACHINE = {
    "max_num_seqs", "block_size", "policy_memory", "prm_memory", "kv_cache_gib", "tensor_parallel_size",
    "data_parallel_size", "enforce_eager", "prm_burst", "policy_url", "prm_url", "memory_gib", "reply_limit",
}  # fmt: skip
DTYPES = ("bfloat16", "float16", "float32")
FROM_ZERO = {"temperature": "greedy", "prm_burst": "at once", "reply_limit": "no limit"}
LARGEST = {"kv_cache_gib": 1024, "memory_gib": 2**20}  # of the settings that are not a share


@dataclass(frozen=True, kw_only=True)
class Profile:
    r"""Everything that a run needs to know besides its strategy, n and seed.

    A model is a checkpoint's folder (relative ones are the project's) or a name on the Hugging Face hub.

    Attributes:
        name: the profile's.
        policies: the ladder of policies, smallest first, by short name.
        policy: the one to sample: a short name, or any model.
        prm: the process reward model.
        prm_format: the family of PRMs that it belongs to, one of `prm_formats.FORMATS`; "auto": told from the model.
        prm_separator: what a PRM of the family "trl" was trained with between steps (its `step_separator`), such as
            "\n\n"; None: as is known of the model, else a line's end.
        dataset: a .jsonl, .csv or .parquet file, or a data set's name on the hub.
        dataset_config: the hub data set's configuration, if it has several.
        dataset_split: the hub data set's split.
        dataset_levels: ask only problems of these levels, such as "4,5".
        dataset_subjects: ask only problems of these subjects, separated by commas.
        dataset_ids: ask only the problems with these ids, separated by commas.
        dataset_skip_ids: leave the problems with these ids out, separated by commas.
        problem_column: where a problem's text is; likewise the other five columns, of which only the answer's must be.
        system_prompt: the policy's system turn; "" leaves it out.
        chat_template: a Jinja template in place of the policy's own; "" takes the policy's own again.
        prm_chat_template: the same for the PRM.
        temperature: of sampling.
        top_p: share of probability that is sampled from.
        max_tokens: longest completion.
        max_step_tokens: longest single step of a search.
        max_model_len: context in tokens, of both models.
        aggregation: from a completion's step scores to its score; which one serves best is the PRM's matter.
        dtype: of weights and activations, of both models.
        max_num_seqs: most sequences in one batch.
        block_size: tokens in a block of the KV cache.
        policy_memory: share of each GPU's memory that the policy takes.
        prm_memory: the same for the PRM.
        kv_cache_gib: each model's KV cache on a CPU, in GiB.
        prm_burst: what the PRM is to score is sent to it together, once in this many seconds; 0: at once.
        tensor_parallel_size: GPUs that share each copy of a model.
        data_parallel_size: copies of each model, on GPUs of their own; vLLM shares out the requests among them.
        enforce_eager: run both models without compilation and CUDA graphs: slower, for machines where those fail.
        policy_url: servers of vLLM that hold the policy, with commas between; none: it runs in this process.
        prm_url: the same for the PRM.
        memory_gib: of the machine that notebook 06 asks about: which option is best within it?
        by_policy: settings that go before the profile's for one policy of the ladder, by its short name.
        reply_limit: seconds of silence after which an engine counts as lost, and that a server's reply may take.
    """

    name: str
    policies: Mapping[str, str]
    policy: str
    prm: str
    dataset: str
    prm_format: str = AUTO
    prm_separator: str | None = None
    dataset_config: str | None = None
    dataset_split: str = "test"
    dataset_levels: str | None = None
    dataset_subjects: str | None = None
    dataset_ids: str | None = None
    dataset_skip_ids: str | None = None
    problem_column: str = "problem"
    answer_column: str = "answer"
    id_column: str = "unique_id"
    level_column: str = "level"
    subject_column: str = "subject"
    solution_column: str = "solution"
    system_prompt: str = ""
    chat_template: str | None = None
    prm_chat_template: str | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 2048
    max_step_tokens: int = 512
    max_model_len: int = 4096
    aggregation: str = "last"
    dtype: str = "bfloat16"
    max_num_seqs: int = 256
    block_size: int = 16
    policy_memory: float = 0.45
    prm_memory: float = 0.45
    kv_cache_gib: float = 1.0
    prm_burst: float = 0.0
    tensor_parallel_size: int = 1
    data_parallel_size: int = 1
    enforce_eager: bool = False
    policy_url: str | None = None
    prm_url: str | None = None
    memory_gib: float = 24.0
    by_policy: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reply_limit: float = 1800.0

    @property
    def policy_model(self) -> str:
        """The policy's folder or hub name."""
        return located(self.policies.get(self.policy, self.policy))

    @property
    def prm_model(self) -> str:
        """The PRM's folder or hub name."""
        return located(self.prm)

    def resolved(self) -> "Profile":
        """The profile with its policy's own settings in place of those that all policies share."""
        return replace(self, **self.by_policy.get(self.policy, {}))

    def settings(self) -> dict[str, Any]:
        """What is computed, as a run's header keeps it: models, data, machine, analysis and search are left out."""
        elsewhere = {"policies", "policy", "prm", "aggregation", "by_policy"}
        if self.prm_format == AUTO:  # then the model says it all
            elsewhere.add("prm_format")
        elsewhere.add("prm_separator")
        computed = [f.name for f in fields(self) if f.name not in MACHINE | elsewhere]
        stated = {n: getattr(self, n) for n in computed if not n.startswith("dataset") and not n.endswith("_column")}
        separator = separator_of(self.prm, self.prm_separator)
        return stated | ({} if separator == SEPARATOR else {"prm_separator": separator})


# 70 billion parameters and more: their weights take most of four GPUs of 80 GB
FOUR_GPUS: Mapping[str, Any] = MappingProxyType(dict(tensor_parallel_size=4, policy_memory=0.65, prm_memory=0.25))
# what both Qwen profiles share; temperature and data are llama's, so that the ladders compare
QWEN: Mapping[str, Any] = MappingProxyType({
    "prm": "Qwen/Qwen2.5-Math-PRM-7B",
    "dataset": "HuggingFaceH4/MATH-500",
    "system_prompt": QWEN_MATH_SYSTEM_PROMPT,
    "temperature": 0.8,
    "by_policy": {"72b": FOUR_GPUS},
    "aggregation": "prod",  # as its authors score a solution: Zhang et al. 2025 (2501.07301), section 2.2
})  # fmt: skip
PROFILES: Mapping[str, Profile] = MappingProxyType({
    "micro": Profile(
        name="micro",
        policies={size: f"data/micro/{size}" for size in ("1b", "3b", "8b", "70b")},
        policy="1b",
        prm="data/micro/prm",
        dataset="data/micro/test.jsonl",
        max_tokens=256,
        max_step_tokens=64,
        max_model_len=512,
        aggregation="min",  # its PRM learned to judge steps up to the first wrong one, and little of what comes after
        memory_gib=0.004,
        prm_burst=0.2,  # two cores do better with few large batches: docs/speed.md
    ),
    "llama": Profile(
        name="llama",
        policies={
            "1b": "meta-llama/Llama-3.2-1B-Instruct",
            "3b": "meta-llama/Llama-3.2-3B-Instruct",
            "8b": "meta-llama/Llama-3.1-8B-Instruct",
            "70b": "meta-llama/Llama-3.1-70B-Instruct",
        },
        policy="1b",
        prm="RLHFlow/Llama3.1-8B-PRM-Deepseek-Data",
        dataset="HuggingFaceH4/MATH-500",
        system_prompt=MATH_SYSTEM_PROMPT,
        chat_template=LLAMA3_TEMPLATE,
        temperature=0.8,
        by_policy={"70b": FOUR_GPUS},
    ),
    "qwen2.5": Profile(
        name="qwen2.5",
        policies={size: f"Qwen/Qwen2.5-{size.upper()}-Instruct" for size in ("0.5b", "1.5b", "3b", "7b", "72b")},
        policy="1.5b",
        **QWEN,
    ),
    "qwen2.5-math": Profile(
        name="qwen2.5-math",
        policies={size: f"Qwen/Qwen2.5-Math-{size.upper()}-Instruct" for size in ("1.5b", "7b", "72b")},
        policy="1.5b",
        **QWEN,
    ),
})  # fmt: skip


MICRO_WORLD = "data/micro/"


def load_profile(profile: str | Profile, options: str = "", **overrides: Any) -> Profile:
    """A profile with some of its fields replaced, for all policies: what a policy has of its own, too.

    Args:
        profile: the name of one of `PROFILES`, or a profile.
        options: fields as one text, as `write_options` makes it: "temperature=0.7 max_tokens=512".
        overrides: fields of `Profile`; those that are None are ignored, so that options may be passed on as they are.

    Raises:
        UserError: there is no such profile, field or policy, or a value is invalid.
    """
    if isinstance(profile, str) and profile not in PROFILES:
        raise UserError(f"unknown profile {profile!r}: choose one of {', '.join(PROFILES)}")
    base = PROFILES[profile] if isinstance(profile, str) else profile
    overrides = read_options(options) | {key: value for key, value in overrides.items() if value is not None}
    overrides = {**DATASETS.get(str(overrides.get("dataset")), {}), **overrides}
    kinds = {f.name: f.type for f in fields(Profile) if f.name not in ("name", "policies", "by_policy")}
    for key, value in overrides.items():
        if key not in kinds:
            raise UserError(f"a profile has no setting {key!r}: choose one of {', '.join(kinds)}")
        overrides[key] = _typed(key, value, kinds[key])
    by_policy = {policy: {k: v for k, v in own.items() if k not in overrides} for policy, own in base.by_policy.items()}
    changed = replace(base, by_policy=by_policy, **overrides)
    _check_policy(changed)
    return changed


def read_options(text: str) -> dict[str, str]:
    """A profile's fields, given as NAME=VALUE with spaces between, quoted as in a shell.

    Raises:
        UserError: it is not of this form.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UserError(f"cannot read the profile's options {text!r:.60}: {error}") from None
    for word in words:
        if "=" not in word:
            raise UserError(f"the profile's options are NAME=VALUE, and {word!r:.60} has no =")
    return dict(word.split("=", 1) for word in words)


def write_options(settings: Mapping[str, Any]) -> str:
    """Fields of a profile as one text, for `read_options`."""
    return shlex.join(f"{name}={value}" for name, value in settings.items())


def located(name: str) -> str:
    """The path of a file or folder given relative to the project; anything else, such as a hub name, as it is.

    `./file` and `../file` are the current folder's, if they are there.

    Raises:
        UserError: it belongs to the micro world, and there is none here.
    """
    if name.startswith(("./", "../")) and Path(name).exists():
        return name
    inside = paths.root() / name
    if name.startswith(MICRO_WORLD) and not (paths.root() / MICRO_WORLD).is_dir():
        raise UserError(
            f"there is no {name} in {paths.root()}: the micro models, problems and recorded runs are in the project's "
            "repository and not in the installed package; run in a checkout of it, or name models and data of your own"
        )
    return str(inside) if inside.exists() else name


def _typed(key: str, value: Any, kind: Any) -> Any:
    """The value as its field wants it: what comes from a command line is text."""
    if key == "prm_separator":
        value = str(value).replace("\\n", "\n").replace("\\t", "\t")  # as it is typed in a shell
        if not value:
            raise UserError("prm_separator must not be empty: leave it out for the usual one")
    wanted = next((k for k in get_args(kind) if k is not NoneType), kind)
    if wanted is bool:
        if str(value).lower() not in ("true", "false"):
            raise UserError(f"{key} must be true or false, and {value!r} is not")
        return str(value).lower() == "true"
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        typed = wanted(value)
        if wanted is int and float(value) != typed:
            raise ValueError
    except (ValueError, OverflowError):
        what = {int: "a whole number", float: "a number", str: "a text"}[wanted]
        raise UserError(f"{key} must be {what}, and {value!r} is not") from None
    if wanted is int and typed < 1:
        raise UserError(f"{key} must be at least 1, and {value!r} is not")
    if key in FROM_ZERO and not 0 <= typed < float("inf"):
        raise UserError(f"{key} must be 0 ({FROM_ZERO[key]}) or more, and {value!r} is not")
    if wanted is float and key not in FROM_ZERO and not 0 < typed <= LARGEST.get(key, 1):
        raise UserError(f"{key} must lie above 0 and be at most {LARGEST.get(key, 1)}, and {value!r} does not")
    choices = {"dtype": DTYPES, "aggregation": AGGREGATIONS, "prm_format": (AUTO, *FORMATS)}.get(key)
    if choices and value not in choices:
        raise UserError(f"unknown {key} {value!r}: choose one of {', '.join(choices)}")
    return typed


def _check_policy(profile: Profile) -> None:
    known = profile.policy in profile.policies or Path(profile.policy_model).exists()
    if not known and not HUB_NAME.fullmatch(profile.policy):
        raise UserError(
            f"unknown policy {profile.policy!r}: choose one of {', '.join(profile.policies)}, "
            "or name a checkpoint's folder or a model on the Hugging Face hub"
        )
