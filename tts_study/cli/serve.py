"""`tts-study serve`: a profile's policy and PRM as servers."""

import argparse
import asyncio
from collections.abc import Callable
from functools import partial

from tts_study.cli.numbers import positive
from tts_study.cli.profile import add_profile, profile_of


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `serve`."""
    serve = commands.add_parser("serve", help="serve a profile's policy and PRM, for several processes to share")
    add_profile(serve)
    serve.add_argument("--ports", type=positive, nargs="+", default=[8000, 8001], metavar="PORT", help="one a server")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0: from other machines, too")
    serve.add_argument("--only", choices=("policy", "prm"), help="one of the two")
    serve.set_defaults(command=_serve)


def _serve(arguments: argparse.Namespace) -> None:
    from tts_study import paths
    from tts_study.engines import ports, serving
    from tts_study.errors import UserError
    from tts_study.prompts.prm.critique import CRITIQUE
    from tts_study.runs.engines import policy_settings, prm_settings

    profile = profile_of(arguments)
    make: dict[str, Callable[..., serving.Service]] = {
        "policy": partial(serving.policy_service, policy_settings(profile)),
        "prm": partial(serving.prm_service, prm_settings(profile)),
    }
    if profile.judges_itself:
        if arguments.only == "prm":
            raise UserError("a policy that judges itself is served as a policy: leave --only out")
        del make["prm"]
    elif profile.prm_format == CRITIQUE:
        raise UserError("a PRM that writes verdicts is a chat model: serve it separately, as a policy (--only policy)")
    parts = [arguments.only] if arguments.only else list(make)
    if len(arguments.ports) < len(parts):
        raise UserError(f"--ports needs {len(parts)} ports, one for each server")
    ports.check_places(arguments.host, arguments.ports[: len(parts)])
    logs = paths.out() / "serve"
    services = [make[part](arguments.host, port, logs) for part, port in zip(parts, arguments.ports, strict=False)]
    asyncio.run(serving.serve(services))
