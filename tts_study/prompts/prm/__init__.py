"""The families of process reward models, and which of them a model belongs to."""

from collections.abc import Mapping
from types import MappingProxyType

from tts_study.errors import UserError
from tts_study.prompts.prm.format import Config, PRMFormat, architecture
from tts_study.prompts.prm.math_shepherd import MATH_SHEPHERD
from tts_study.prompts.prm.qwen import QWEN
from tts_study.prompts.prm.rlhflow import RLHFLOW
from tts_study.prompts.prm.skywork import SKYWORK
from tts_study.prompts.prm.trl import TRL, separated, separator_of

AUTO = "auto"  # derived from the model
# the first that recognises a model is taken: a certain sign in a config or a name comes before "PRM" in a name
FORMATS: Mapping[str, PRMFormat] = MappingProxyType({
    prm_format.name: prm_format for prm_format in (QWEN, SKYWORK, TRL, MATH_SHEPHERD, RLHFLOW)
})  # fmt: skip


def load_config(model: str) -> Config:
    """A checkpoint's config.json, from its folder or the hub.

    Raises:
        UserError: it cannot be loaded.
    """
    from transformers import PreTrainedConfig

    try:
        return PreTrainedConfig.get_config_dict(model)[0]
    except (OSError, ValueError) as error:
        raise UserError(
            f"Cannot load the configuration of {model!r}: it is neither a checkpoint's folder "
            "nor a model that can be reached on the hub; check the name."
        ) from error


def choose_format(name: str, model: str, config: Config, separator: str | None = None) -> PRMFormat:
    """The family of a PRM.

    Args:
        name: one of `FORMATS`, or "auto": the family that recognises the model.
        model: its folder or hub name.
        config: its config.json.
        separator: what stands between steps, in place of what is known of the model; only the family "trl" has one.

    Raises:
        UserError: there is no such family, or none recognises the model, or it has no separator.
    """
    found = _family(name, model, config)
    if found is TRL:
        return separated(separator_of(model, separator))
    if separator is not None:
        raise UserError(
            f"PRMs of the family {found.name!r} have a fixed separator: prm_separator is for the family 'trl'."
        )
    return found


def _family(name: str, model: str, config: Config) -> PRMFormat:
    if name in FORMATS:
        return FORMATS[name]
    if name != AUTO:
        raise UserError(f"unknown prm_format {name!r}: choose one of {', '.join((AUTO, *FORMATS))}")
    for prm_format in FORMATS.values():
        if prm_format.recognises(model, config):
            return prm_format
    raise UserError(
        f"Cannot find which family of PRMs {model!r} ({architecture(config) or 'no architecture'}) belongs to: "
        f"give prm_format, one of {', '.join(FORMATS)}, or choose another PRM."
    )
