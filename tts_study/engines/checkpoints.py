"""Checkpoints: what identifies a model's weights, in a folder or on the hub.

A folder's weights are hashed in a stream, once: the hash is kept in the user's cache folder under the folder's path
and its files' names, sizes and times of change, so a large model is read only once.
"""

import hashlib
import json
import os
import re
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from tts_study import paths
from tts_study.engines import user_code
from tts_study.errors import UserError, one_line

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
CHUNK = 2**22  # bytes read at a time
POINTER = b"version https://git-lfs"  # what git-lfs leaves in place of a file that it has not fetched
HUB_SECONDS = 10.0


def describe_model(model: str) -> dict[str, Any]:
    """A model's name (relative to the project if inside) and what identifies its weights: a hash or a revision.

    The revision is null where neither the hub nor its cache has it. Of a function, its file is hashed.

    Raises:
        UserError: it is neither a folder, nor a function, nor a name that a hub's model could have.
    """
    if user_code.is_function(model):
        file, function = user_code.split(model)
        return {"model": f"{relative(str(file))}:{function}", "sha256": user_code.digest(file)}
    folder = Path(model)
    if not folder.is_dir():
        if not HUB_NAME.fullmatch(model):
            raise UserError(f"there is no model in {model!r}: give a checkpoint's folder or a name on the hub")
        return {"model": model, "revision": _hub_revision(model)}
    return {"model": relative(model), "sha256": weights_hash(folder)}


def weights_hash(folder: Path) -> str:
    """The hash of a folder's weights and tokenizer, from the cache if none of the files has changed."""
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin"), *folder.glob("tokenizer.json")])
    for path in files:
        paths.check_regular(path)
    seen = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    key = hashlib.sha256(json.dumps([str(folder.resolve()), seen]).encode()).hexdigest()
    kept = paths.cache() / "checkpoints" / key
    try:
        found = kept.read_text(encoding="ascii")
        if re.fullmatch("[0-9a-f]{64}", found):
            return found
    except OSError:
        pass
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode())
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    _keep(kept, digest.hexdigest())
    return digest.hexdigest()


def _keep(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="ascii")
        part.replace(path)
    except OSError:  # no cache folder to write to: the weights are hashed again next time
        pass


def _hub_revision(model: str) -> str | None:
    from huggingface_hub import HfApi, try_to_load_from_cache

    try:
        return HfApi().model_info(model, timeout=10).sha
    except Exception:  # unreachable, no such model, not a name …: then what was downloaded before, if anything
        cached = try_to_load_from_cache(model, "config.json")
        return Path(cached).parent.name if isinstance(cached, str) else None


@cache
def check_reachable(model: str) -> None:
    """Make sure, within seconds, that a model on the hub is available; without the hub, that it was downloaded before.

    Libraries would try again and again, for each of a model's files. What is a folder is not asked about.

    Raises:
        UserError: it cannot.
    """
    if Path(model).is_dir() or not HUB_NAME.fullmatch(model):
        return
    from huggingface_hub import constants, get_session, try_to_load_from_cache
    from huggingface_hub.utils import build_hf_headers

    downloaded = isinstance(try_to_load_from_cache(model, "config.json"), str)
    try:
        if constants.HF_HUB_OFFLINE:
            raise ConnectionError("$HF_HUB_OFFLINE is set")
        url = f"{constants.ENDPOINT}/{model}/resolve/main/config.json"
        reply = get_session().head(url, headers=build_hf_headers(), timeout=HUB_SECONDS)
    except Exception as error:  # of whichever library carries the request: no network, no such host, no answer in time
        if not downloaded:
            raise UserError(
                f"The hub cannot be reached ({one_line(str(error), 100)}), and {model!r} was not downloaded before: "
                "connect this machine, or copy the checkpoint here and give its folder."
            ) from None
        constants.HF_HUB_OFFLINE = True  # what was downloaded is used without asking, in engines' processes too
        os.environ["HF_HUB_OFFLINE"] = "1"
        return
    code = reply.headers.get("X-Error-Code", "")
    if code == "GatedRepo" or reply.status_code == HTTPStatus.FORBIDDEN:
        raise UserError(
            f"{model!r} is gated: ask for access at {constants.ENDPOINT}/{model}, and log in here (hf auth login)."
        )
    if code == "EntryNotFound":
        raise UserError(f"{model!r} has no config.json on the hub: it is not a model that vLLM can run.")
    if code == "RepoNotFound" or reply.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND):
        raise UserError(f"There is no model {model!r} on the hub, or it is private: check the name, or log in.")


def check_weights(model: str) -> None:
    """Make sure that a folder's weights are there and whole; only their headers are read.

    Raises:
        UserError: they are not.
    """
    folder = Path(model)
    if not folder.is_dir():
        return
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])
    if not files:
        raise UserError(f"{model!r} has no weights (*.safetensors): copy or download the whole checkpoint.")
    for path in [*files, *folder.glob("tokenizer*")]:
        with open(path, "rb") as file:
            if file.read(len(POINTER)) == POINTER:
                raise UserError(
                    f"{path} is a pointer of git-lfs and not the file itself: run git lfs pull in {model!r}."
                )
    for path in folder.glob("*.safetensors"):
        try:
            with safe_open(path, "np"):  # it checks that the file is as long as its header says
                pass
        except SafetensorError:
            raise UserError(f"{path} is broken or cut short: copy or download it again.") from None
    for index in folder.glob("*.index.json"):
        try:
            named = set(json.loads(index.read_bytes())["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{index} is broken: copy or download it again.") from None
        if missing := sorted(named - {path.name for path in folder.iterdir()}):
            raise UserError(f"{model!r} lacks {missing[0]}, which {index.name} names: download the whole checkpoint.")


def relative(name: str) -> str:
    """A path inside the project as seen from there, so that a run does not depend on the project's location."""
    path = Path(name).absolute()
    inside = path.exists() and path.is_relative_to(paths.root())
    return path.relative_to(paths.root()).as_posix() if inside else name
