"""Let vLLM take Triton's interpreter for a CPU backend, so that its GPU model runner (V2) runs without a GPU.

Python imports a module of this name when it starts; put this folder on PYTHONPATH. It does nothing unless GPU_REHEARSAL
is set.
"""

import os

if os.environ.get("GPU_REHEARSAL"):
    from triton.backends import backends

    class _Driver:
        @staticmethod
        def is_active() -> bool:
            return True

    class _Interpreted:
        driver = _Driver
        compiler = None

    backends["cpu"] = _Interpreted
