"""A progress bar for a run: problems done, tokens a second, time left.

In a notebook it is a line of the cell's output and not of stderr, which notebooks show in red.
"""

import sys
import threading
import time

from tqdm import tqdm


class Progress:
    """The bar of one run, from the starting of its engines on."""

    def __init__(self, title: str, total: int, done: int, shown: bool) -> None:
        self._title, self._tokens = title, 0
        self._begin = self._lap = time.monotonic()
        # an average over the whole run: problems are done in bursts
        self._bar = tqdm(
            total=total, initial=done, unit="problem", disable=not shown, smoothing=0, mininterval=1,
            file=sys.stdout if in_notebook() else sys.stderr,
        )  # fmt: skip
        self._bar.set_description("starting the engines")
        self._started = threading.Event()
        if shown and in_notebook():
            threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        """Show the seconds that pass while the engines start."""
        while not self._started.wait(1):
            self._bar.refresh()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._started.set()
        self._bar.close()

    def start_clock(self) -> None:
        """Time counts from here on; engines were started before."""
        self._started.set()
        self._bar.set_description(self._title)
        self._bar.start_t = self._bar.last_print_t = time.time()
        self._begin = self._lap = time.monotonic()

    def lap(self) -> float:
        """Seconds since the last lap, or since the clock was started."""
        last, self._lap = self._lap, time.monotonic()
        return self._lap - last

    def add(self, tokens: int) -> None:
        """One more problem is done, with this number of generated tokens."""
        self._tokens += tokens
        self._bar.set_postfix_str(f"{self._tokens / (time.monotonic() - self._begin):,.0f} tok/s", refresh=False)
        self._bar.update()


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
