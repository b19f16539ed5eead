"""Checkpoints: what pins a model's weights, whether they lie in a folder or on the hub.

A folder's weights are hashed in a stream, once: the hash is kept in the user's cache folder under the folder's path
and its files' names, sizes and times of change, so that naming a large model again reads none of it.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from tts_study import paths
from tts_study.errors import UserError

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
CHUNK = 2**22  # bytes read at a time


def describe_model(model: str) -> dict[str, Any]:
    """A model's name (relative to the project if inside) and what pins its weights: their hash, or the hub's revision.

    The revision is null where neither the hub nor its cache can tell.

    Raises:
        UserError: it is neither a folder nor a name that a hub's model could have.
    """
    folder = Path(model)
    if not folder.is_dir():
        if not HUB_NAME.fullmatch(model):
            raise UserError(f"there is no model in {model!r}: give a checkpoint's folder or a name on the hub")
        return {"model": model, "revision": _hub_revision(model)}
    return {"model": relative(model), "sha256": weights_hash(folder)}


def weights_hash(folder: Path) -> str:
    """The hash of a folder's weights and tokenizer, from the cache if none of the files has changed."""
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin"), *folder.glob("tokenizer.json")])
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


def relative(name: str) -> str:
    """A path inside the project as seen from there, so that a run does not depend on where the project lies."""
    path = Path(name).absolute()
    inside = path.exists() and path.is_relative_to(paths.root())
    return path.relative_to(paths.root()).as_posix() if inside else name
