"""Policies and PRMs on vLLM."""

import os

# without PyTorch there are still tokenizers, which is all that replaying needs: no reason for a warning
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
