"""Profiles: which policies, PRM, data set, prompts and sampling settings belong together.

`micro` runs anywhere: tiny models trained for this study, on the micro world's problems. `llama` is the setting of the
blog "Scaling test-time compute with open models", taken from its repository search-and-learn (`src/sal/config.py`).
`qwen2.5` and `qwen2.5-math` are the same study with Qwen's ladders and PRM. `smollm2` is for readers without a GPU:
small chat models on a CPU, which judge themselves. docs/models.md says what each needs.
Every field can be overridden: `load_profile("micro", temperature=0.7, policy="3b")`.
"""

import shlex
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any, get_args

from tts_study import paths
from tts_study.engines import user_code
from tts_study.engines.checkpoints import HUB_NAME
from tts_study.engines.ports import server_urls
from tts_study.engines.settings import FamilySettings, MachineSettings, ModelSettings, PairSettings, SamplingSettings
from tts_study.errors import UserError
from tts_study.problems.known_datasets import DATASETS
from tts_study.problems.settings import DataSettings
from tts_study.prompts.policy import LLAMA3_TEMPLATE, MATH_SYSTEM_PROMPT, QWEN_MATH_SYSTEM_PROMPT, STEPS_PROMPT
from tts_study.prompts.prm import AUTO
from tts_study.prompts.prm.self_verify import SELF
from tts_study.prompts.prm.trl import SEPARATOR, separator_of
from tts_study.strategies.aggregation import AGGREGATIONS
from tts_study.strategies.values import typed


@dataclass(frozen=True, kw_only=True)
class Profile(DataSettings, FamilySettings, SamplingSettings, ModelSettings, MachineSettings, PairSettings):
    """Everything that a run depends on but its strategy, n and seed; each setting is described where it is used.

    A model is a checkpoint's folder (relative ones are the project's) or a name on the Hugging Face hub; the PRM may
    also be a user's function, "my_file.py:name".

    Attributes:
        name: the profile's.
        policies: the ladder of policies, smallest first, by short name.
        policy: the one to sample: a short name, or any model.
        prm: the process reward model; "self": the policy judges its own steps.
        chat_template: a Jinja template in place of the policy's own; "" uses the policy's own.
        prm_chat_template: the same for the PRM.
        aggregation: from a completion's step scores to its score; the best one depends on the PRM.
        memory_gib: memory of the machine that notebook 06 asks about: which option is best within it?
        by_policy: settings for one policy of the ladder, by its short name; they replace the profile's.
    """

    name: str
    policies: Mapping[str, str]
    policy: str
    prm: str
    chat_template: str | None = None
    prm_chat_template: str | None = None
    aggregation: str = field(default="last", metadata={"choices": AGGREGATIONS})
    memory_gib: float = field(default=24.0, metadata={"most": 2**20})
    by_policy: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def policy_model(self) -> str:
        """The policy's folder or hub name."""
        return located(self.policies.get(self.policy, self.policy))

    @property
    def judges_itself(self) -> bool:
        """Whether the policy is its own PRM."""
        return self.prm == SELF

    @property
    def prm_model(self) -> str:
        """The folder or hub name of the PRM, which may be the policy."""
        return self.policy_model if self.judges_itself else located(self.prm)

    def resolved(self) -> "Profile":
        """The profile with its policy's own settings in place of those that all policies share."""
        return replace(self, **self.by_policy.get(self.policy, {}))

    def settings(self) -> dict[str, Any]:
        """The settings that identify a run, for its header, which describes models, data and the search separately."""
        rooms = [each.name for room in (SamplingSettings, ModelSettings) for each in fields(room)]
        names = ["name", "chat_template", "prm_chat_template", *rooms]
        if self.prm_format != AUTO:  # otherwise the model determines it
            names.append("prm_format")
        if self.max_thought_tokens is None:  # the model does not think
            names.remove("max_thought_tokens")
        if not self.signals:
            names.remove("signals")
        separator = separator_of(self.prm, self.prm_separator)
        other = {} if separator == SEPARATOR else {"prm_separator": separator}
        return {name: getattr(self, name) for name in names} | other


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
GSM8K: Mapping[str, Any] = MappingProxyType({"dataset": "openai/gsm8k", **DATASETS["openai/gsm8k"]})
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
    "smollm2": Profile(
        name="smollm2",
        policies={size: f"HuggingFaceTB/SmolLM2-{size.upper()}-Instruct" for size in ("135m", "360m", "1.7b")},
        policy="135m",
        prm=SELF,
        **GSM8K,
        system_prompt=STEPS_PROMPT,
        temperature=0.8,
        max_tokens=384,
        max_step_tokens=384,
        max_model_len=1024,
    ),
})  # fmt: skip


MICRO_WORLD = "data/micro/"


def load_profile(profile: str | Profile, options: str = "", **overrides: Any) -> Profile:
    """A profile with some of its fields replaced, for all policies: also those that a policy sets itself.

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
    known = {each.name: each for each in fields(Profile) if each.name not in ("name", "policies", "by_policy")}
    for key, value in overrides.items():
        if key not in known:
            raise UserError(f"a profile has no setting {key!r}: choose one of {', '.join(known)}")
        overrides[key] = _checked(known[key], value)
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

    Of "my_file.py:name" the file is found in the same way.

    `./file` and `../file` are the current folder's, if they are there.

    Raises:
        UserError: it belongs to the micro world, and there is none here.
    """
    if user_code.is_function(name):
        file, function = user_code.split(name)
        return f"{located(str(file))}:{function}"
    if name.startswith(("./", "../")) and Path(name).exists():
        return name
    inside = paths.root() / name
    if name.startswith(MICRO_WORLD) and not (paths.root() / MICRO_WORLD).is_dir():
        raise UserError(
            f"there is no {name} in {paths.root()}: the micro models, problems and recorded runs are in the project's "
            "repository and not in the installed package; run in a checkout of it, or name your own models and data"
        )
    return str(inside) if inside.exists() else name


def short_name(model: str) -> str:
    """The last part of a model's name, or a function's own: what run files and tables call it."""
    return user_code.split(model)[1] if user_code.is_function(model) else Path(model).name


def _checked(setting: Field[Any], value: Any) -> Any:
    """A setting's value in its type, and within its limits: what comes from a command line is text."""
    name, limits = setting.name, setting.metadata
    most = limits.get("most", 1)
    if limits.get("urls"):
        server_urls(str(value))  # here already: a notebook's options are stored, and must not contain a password
    kind = next((k for k in get_args(setting.type) if k is not NoneType), setting.type)
    checked = typed(name, value, kind)
    if limits.get("escaped"):
        checked = checked.replace("\\n", "\n").replace("\\t", "\t")  # as it is typed in a shell
        if not checked:
            raise UserError(f"{name} must not be empty: leave it out for the default")
    if kind is int and checked < 1:
        raise UserError(f"{name} must be at least 1, and {value!r} is not")
    if kind is float and "zero" in limits and not 0 <= checked < float("inf"):
        raise UserError(f"{name} must be 0 ({limits['zero']}) or more, and {value!r} is not")
    if kind is float and checked > limits.get("most", checked):
        raise UserError(f"{name} must be at most {most:g}, and {value!r} is not")
    if kind is float and "zero" not in limits and not 0 < checked <= most:
        raise UserError(f"{name} must lie above 0 and be at most {most}, and {value!r} does not")
    if checked not in (choices := limits.get("choices", (checked,))):
        raise UserError(f"unknown {name} {value!r}: choose one of {', '.join(choices)}")
    return checked


def _check_policy(profile: Profile) -> None:
    known = profile.policy in profile.policies or Path(profile.policy_model).exists()
    if not known and not HUB_NAME.fullmatch(profile.policy):
        raise UserError(
            f"unknown policy {profile.policy!r}: choose one of {', '.join(profile.policies)}, "
            "or name a checkpoint's folder or a model on the Hugging Face hub"
        )
