"""What vLLM loads in each of its processes (entry point "vllm.general_plugins"): models that it does not know."""


def register() -> None:
    """Tell vLLM the class of Skywork's PRMs; it is imported only for such a model."""
    from vllm import ModelRegistry

    ModelRegistry.register_model("Qwen2ForPrmModel", "tts_study.engines.skywork:Qwen2ForPrmModel")
