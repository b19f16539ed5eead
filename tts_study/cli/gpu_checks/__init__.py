"""What `tts-study check-gpu` checks, and the plain vLLM that measurements compare with."""
