"""A run on many machines: Ray actors with a policy and a PRM each, and a driver that distributes the problems.

The driver gives every worker as many problems as keep its engines busy (`workers`), and stores each result in the one
run file as it comes back (`collect`).
"""

import asyncio
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tts_study.engines.user_code import modules
from tts_study.errors import UserError, one_line
from tts_study.runs.collect import collect
from tts_study.runs.identity import software_and_weights
from tts_study.runs.run import at_once, searcher
from tts_study.runs.shards import WHOLE, Shard
from tts_study.runs.spec import RunSpec
from tts_study.runs.store import Run
from tts_study.runs.workers import LIMITS, Limits, Workers


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to a Ray cluster: the one at `address` or $RAY_ADDRESS, or else a new one on this machine.

    Without an address Ray would join any cluster that a file in /tmp names, and every user can write such a file.
    Whoever can connect to a cluster can run code on it. Ray protects a new cluster by a token. At an address, the token
    that is found here is used; Ray by itself would do so only with $RAY_AUTH_MODE set, too.

    Raises:
        UserError: Ray is not installed, or there is no cluster, or it does not accept the token.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = address or os.environ.get("RAY_ADDRESS")
    if "@" in (address or ""):
        raise UserError("a Ray address must not contain a name or a password: Ray uses a token (docs/cluster.md)")
    token = has_token()
    if address and token:
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray reads it when it is imported
    try:
        import ray
    except ImportError:
        raise UserError("a run on many machines needs Ray: pip install -c constraints.txt -e '.[ray]'") from None
    try:
        if address and re.fullmatch(r"[^/]+:\d+", address):  # Ray itself would try for minutes
            host, port = address.rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (OSError, ValueError, RuntimeError, OverflowError, ray.exceptions.RayError) as error:
        reason = one_line(str(error).strip().splitlines()[0])
        if not address:
            raise UserError(f"cannot start a Ray cluster on this machine: {reason}") from None
        wanted = "another token than the one here" if token else "a token, and none is here"
        raise UserError(
            f"cannot reach a Ray cluster at {address}: {reason} (`ray start --head` starts one; it may need {wanted}: "
            "docs/cluster.md)"
        ) from None
    if address and not token:
        print(f"no token is asked for at {address}: whoever reaches it can run code there (docs/cluster.md)")
    try:
        yield
    finally:
        ray.shutdown()


def has_token() -> bool:
    """Whether there is a token for Ray clusters here, in one of the three places where Ray looks for it."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token").is_file()


def room(gpus: int) -> tuple[int, int]:
    """How many workers the cluster has room for, and how many GPUs each takes: none on a cluster without any."""
    import ray

    resources = ray.cluster_resources()
    if "GPU" in resources:
        return int(resources["GPU"]) // gpus, gpus
    return int(resources.get("CPU", 0)), 0


async def run_on_ray(
    spec: RunSpec,
    *,
    path: Path,
    shard: Shard = WHOLE,
    address: str | None = None,
    workers: int | None = None,
    limits: Limits = LIMITS,
) -> Run:
    """As `runs.run_spec`, with the engines in workers on a Ray cluster.

    Args:
        spec: what to search.
        path: the run's file.
        shard: the part of the problems to search.
        address: the cluster's; see `connected`.
        workers: pairs of policy and PRM; on GPUs as many as there is room for if None, else one.
        limits: how long to wait for workers, their replies, and the run.

    Raises:
        UserError: as there; or there is no cluster, no room for the workers, no worker left, or no time.
    """
    profile = spec.profile
    header = spec.header | shard.describe(spec.problems)
    with connected(address):
        most, gpus = room(profile.tensor_parallel_size * profile.data_parallel_size)
        wanted = (most if gpus else 1) if workers is None else workers
        if not 1 <= wanted <= most:
            of_what = f"{gpus} GPUs" if gpus else "one CPU"
            raise UserError(f"the Ray cluster has room for {most} workers of {of_what} each, not for {wanted}")
        _send_strategies()
        each = at_once(profile, spec.n)
        identity = partial(software_and_weights, profile, spec.search.needs_prm)
        make = partial(searcher, spec)
        solver = Workers(make, workers=wanted, each=each, gpus=gpus, limits=limits, identity=identity)
        title = f"{spec.search.name} n={spec.n} on {wanted} worker{'s' * (wanted > 1)}"
        try:
            async with asyncio.timeout(limits.run) as clock:
                return await collect(
                    shard.of(spec.problems), solver, path=path, header=header, title=title,
                    concurrency=wanted * each, workers=wanted,
                )  # fmt: skip
        except TimeoutError:
            if not clock.expired():
                raise
            raise UserError(
                f"the run took longer than {limits.run:g} s: the same command resumes it from {path}"
            ) from None
        finally:
            await solver.close()


def _send_strategies() -> None:
    """Let the workers have the strategies that were read from a file here."""
    from ray import cloudpickle

    for module in modules():
        cloudpickle.register_pickle_by_value(module)
