"""What a run is: its name, its header and its budget, each computed in this one place."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tts_study.engines.checkpoints import describe_model
from tts_study.errors import UserError
from tts_study.profiles import PROFILES, Profile, short_name
from tts_study.prompts.prm import AUTO
from tts_study.prompts.prm.critique import CRITIQUE
from tts_study.prompts.prm.self_verify import QUESTION
from tts_study.records import Problem
from tts_study.runs import store
from tts_study.runs.store import Header
from tts_study.strategies import Method, Search, find


@dataclass(frozen=True, eq=False)
class RunSpec:
    """One search over problems, with everything that its results depend on.

    Attributes:
        profile: models, data and settings.
        search: how each problem is searched.
        problems: which.
        n: generations for each problem.
        seed: of every random draw.
        options: the search's own options, all of them.
    """

    profile: Profile
    search: Search
    problems: tuple[Problem, ...]
    n: int
    seed: int
    options: Mapping[str, Any]

    @classmethod
    def of(
        cls, profile: Profile, method: str | Method | Search, problems: Sequence[Problem], *, n: int, seed: int = 0,
        options: Mapping[str, Any] | None = None,
    ) -> "RunSpec":  # fmt: skip
        """The run that a method reads.

        Args:
            profile: models, data and settings.
            method: a method, its name, or a search.
            problems: which.
            n: generations for each problem.
            seed: of every random draw.
            options: those of the search that are not its defaults.

        Raises:
            UserError: there is no such method or option, or the search cannot spend `n`.
        """
        search = method if isinstance(method, Search) else find(method).search
        every = search.options(options or {})
        search.check_budget(n, every)
        if seed < 0:
            raise UserError(f"the seed must be at least 0, and {seed} is not")
        return cls(profile.resolved(), search, tuple(problems), n, seed, every)

    def within(self, search: Search, n: int) -> "RunSpec":
        """The same run with another search or n, which may contain this one."""
        return replace(self, search=search, n=n)

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """What the search's function takes besides the problem, the engines, `n` and `seed`."""
        return arguments_of(self.search, self.profile, self.options)

    @cached_property
    def suffix(self) -> str:
        """The end of the run's name: what differs from the defaults, such as "-beam_width_8" or "-prm_prm-160"."""
        usual = PROFILES.get(self.profile.name, self.profile)
        usually = {**{name: getattr(usual, name) for name in self.search.from_profile}, **self.search.defaults}
        changed = {name: value for name, value in self.arguments.items() if value != usually[name]}
        if self.search.needs_prm and self.profile.prm != usual.prm:
            changed["prm"] = short_name(self.profile.prm)
        if self.profile.signals:
            changed["signals"] = True
        return "".join(f"-{name}_{value}" for name, value in changed.items())

    @property
    def name(self) -> str:
        """The run's file name: "1b-dvts-n64-seed0", and what differs from the defaults."""
        return self.name_as(self.search.name, str(self.n))

    def name_as(self, search: str, n: str) -> str:
        """The name with another search and n, which may be a pattern."""
        return f"{Path(self.profile.policy).name}-{search}-n{n}-seed{self.seed}{self.suffix}"

    @cached_property
    def header(self) -> Header:
        """Everything that the results depend on."""
        settings = self.profile.settings()
        header: Header = {
            "strategy": self.search.name,
            "n": self.n,
            "seed": self.seed,
            "policy": describe_model(self.profile.policy_model),
            "dataset": store.describe_dataset(self.profile.dataset, self.problems),
            "settings": settings,
        }
        if self.search.needs_prm:
            header["prm"] = describe_prm(self.profile)
        search = {name: value for name, value in self.arguments.items() if name not in settings and self._named(name)}
        if self.search.source:
            search["source"] = self.search.source
        return header | ({"search": search} if search else {}) | ({"options": self.options} if self.options else {})

    def _named(self, name: str) -> bool:
        """Whether the header must name an option: not if it has the value that was used before the option existed."""
        if name in self.search.from_profile or name in self.search.always_named:
            return True
        return bool(self.arguments[name] != self.search.before.get(name, self.search.defaults[name]))

    @cached_property
    def digest(self) -> str:
        """Eight letters that differ where anything differs that the results depend on."""
        identifying = {name: value for name, value in self.header.items() if name not in store.REMARKS}
        return hashlib.sha256(json.dumps(identifying, sort_keys=True).encode()).hexdigest()[:8]


def describe_prm(profile: Profile) -> Header:
    """What identifies a profile's PRM; of a policy that judges itself, what it is asked, too."""
    described = describe_model(profile.prm_model)
    if profile.judges_itself:
        described["asked"] = QUESTION if profile.prm_format == AUTO else profile.prm_format
    if profile.prm_format == CRITIQUE:
        described["verdicts"] = profile.prm_verdicts
    return described


def arguments_of(search: Search, profile: Profile, options: Mapping[str, Any]) -> dict[str, Any]:
    """A search's options, and the fields of a profile that it takes.

    Raises:
        UserError: it takes a field that a profile does not have.
    """
    for name in search.from_profile:
        if not hasattr(profile, name):
            raise UserError(f"{search.name} takes {name!r}, which no profile has: with a default it is an option")
    return {**options, **{name: getattr(profile, name) for name in search.from_profile}}
