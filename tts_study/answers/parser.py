"""The parser of LaTeX expressions: a worker process under limits, and the memo of what it replied before."""

from tts_study.answers.memo import Memo
from tts_study.answers.reading import UnreadableError
from tts_study.answers.worker import OverLimitError, Worker

OVER = "over: "  # begins the reply for an answer over a limit; no canonical form begins so


class Parser:
    """Asks the worker what the memo does not know, and keeps every reply, a limit of the worker's own among them."""

    def __init__(self) -> None:
        self.worker = Worker("tts_study.answers.symbolic", limit_s=2.0, memory_mib=512)
        self.memo = Memo()

    def ask(self, text: str) -> str | None:
        """The canonical form of one LaTeX expression; None where it cannot be read, "" where it has no value.

        Raises:
            UnreadableError: it takes too long or needs too much memory.
            UserError: the worker cannot work here: it does not start, or is killed again and again.
        """
        if text not in self.memo:
            try:
                self.memo[text] = self.worker.ask(text)
            except OverLimitError as limit:
                self.memo[text] = f"{OVER}{limit}"
        reply = self.memo[text]
        if reply is not None and reply.startswith(OVER):
            raise UnreadableError(reply.removeprefix(OVER))
        return reply

    def forget(self) -> None:
        """End the worker, and forget its replies."""
        self.memo.clear()
        self.worker.close()
