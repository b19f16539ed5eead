"""What vLLM loads in each of its processes (entry point "vllm.general_plugins")."""

import multiprocessing
import os
import threading


def register() -> None:
    """Tell vLLM the class of Skywork's PRMs (imported only for such a model), and let no engine outlive its starter."""
    from vllm import ModelRegistry

    ModelRegistry.register_model("Qwen2ForPrmModel", "tts_study.engines.skywork:Qwen2ForPrmModel")
    if multiprocessing.parent_process() is not None:
        threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()


def _end_with_parent() -> None:
    """An engine whose driver was killed would wait for requests for ever, and hold its GPU's memory."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
