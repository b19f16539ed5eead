"""What vLLM loads in each of its processes (entry point "vllm.general_plugins")."""

import logging
import multiprocessing
import os
import threading


def register() -> None:
    """Register the class of Skywork's PRMs (imported only for such a model), and watch the process above an engine.

    An engine ends with that process, and writes down the exception that ended it. Its temporary files go into that
    process's folder.
    """
    from vllm import ModelRegistry

    from tts_study.engines.reasons import Notes
    from tts_study.engines.temporary import use_here

    ModelRegistry.register_model("Qwen2ForPrmModel", "tts_study.engines.skywork:Qwen2ForPrmModel")
    if multiprocessing.parent_process() is not None:
        use_here()
        threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()
        logging.getLogger("vllm").addHandler(Notes(logging.ERROR))


def _end_with_parent() -> None:
    """An engine whose driver was killed would wait for requests for ever, and keep its GPU's memory."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
