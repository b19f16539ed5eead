"""The key of the servers of `tts-study serve`: every path requires it; in vLLM only those under /v1 do."""

import hmac
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

VLLM_KEY = "VLLM_API_KEY"  # the environment variable from which vLLM takes its key
OPEN = "/health"  # says nothing but that the server is up

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Any, Send], Awaitable[None]]


class EveryPath:
    """An ASGI middleware that refuses requests without the key, if there is one (`vllm serve --middleware`)."""

    def __init__(self, app: App) -> None:
        self._app, self._key = app, os.environ.get(VLLM_KEY, "")

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Pass a request on, or answer it with HTTP 401."""
        if not self._key or scope["type"] not in ("http", "websocket") or self._may_enter(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            kind = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 401, "headers": kind})
            await send({"type": "http.response.body", "body": b'{"error": "Unauthorized"}'})

    def _may_enter(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return scope["path"] == OPEN or hmac.compare_digest(given, f"Bearer {self._key}".encode())
