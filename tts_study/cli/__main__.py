"""`python -m tts_study.cli`."""

from tts_study.cli import script

if __name__ == "__main__":
    script()
