"""What must be the same wherever problems of one run are solved: the package, its source, and the models' weights."""

import hashlib
import socket
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from tts_study.engines.checkpoints import describe_model
from tts_study.errors import UserError
from tts_study.profiles import Profile

Identity = Mapping[str, str]


def software() -> Identity:
    """The package's version, and a digest of its source, which may differ where the version does not."""
    digest, folder = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return {"version of tts-study": version("tts-study"), "source of tts-study": digest.hexdigest()[:12]}


def software_and_weights(profile: Profile, needs_prm: bool) -> Identity:
    """As `software`, with the models as they lie on this machine.

    Raises:
        UserError: there is no such checkpoint here.
    """
    models = {"policy": profile.policy_model} | ({"PRM": profile.prm_model} if needs_prm else {})
    described = {role: describe_model(model) for role, model in models.items()}
    digests = {role: model.get("sha256") or model.get("revision") for role, model in described.items()}
    return {**software(), **{f"digest of the {role}'s weights": sha[:12] for role, sha in digests.items() if sha}}


def check_equal(expected: Identity, here: Identity) -> None:
    """Make sure that this machine has the same software and weights as the one that started the run.

    Raises:
        UserError: it is not; the sentence names what differs first.
    """
    for what, value in expected.items():
        if here.get(what) != value:
            raise UserError(
                f"the {what} is {here.get(what, 'unknown')} on {socket.gethostname()} and {value} where the run "
                "was started: bring both to the same checkout and the same models"
            )
