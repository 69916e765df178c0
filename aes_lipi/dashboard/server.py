"""The page's server: on the loopback address, for whoever has the token, with nothing to change.

Every request needs the token, which only the address that is printed has; a foreign `Host` is
refused, so that no other site's script can ask under a name of its own (DNS rebinding). No part of
a request becomes a path: files are served by name from a table, studies by their number.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aes_lipi.dashboard.views import LOSS_CHOICES, LossChoice
from aes_lipi.dashboard.watch import MOST_CHOSEN, ChosenVariant, Watched
from aes_lipi.errors import UserError
from aes_lipi.optional import is_installed, not_installed

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

_LOOPBACK = "127.0.0.1"
_HOSTS = (_LOOPBACK, "localhost")
_LAST_PORT = 65535
_NEEDED = ("starlette", "uvicorn", "plotly")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_REFUSED = "open the address that `aes-lipi dashboard` printed: it has the token"


def dashboard_app(watched: Watched, token: str) -> Starlette:
    """The application that answers a browser.

    Args:
        watched: the studies.
        token: that every request must have, as `?token=`, as a bearer, or in the cookie that the
            page sets.
    """
    from starlette.applications import Starlette  # noqa: PLC0415 - optional
    from starlette.middleware import Middleware  # noqa: PLC0415
    from starlette.middleware.trustedhost import TrustedHostMiddleware  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    answers = _Answers(watched)
    return Starlette(
        routes=[
            Route("/", answers.page),
            Route("/assets/{name}", answers.asset),
            Route("/api/studies", answers.studies),
            Route("/api/figures", answers.figures),
            Route("/api/ring", answers.ring),
        ],
        middleware=[
            Middleware(_WithHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(_HOSTS), www_redirect=False),
            Middleware(_Guard, token=token),
        ],
        exception_handlers={UserError: _refusal},
    )


def _refusal(request: Request, error: Exception) -> Response:
    from starlette.responses import JSONResponse  # noqa: PLC0415 - optional

    del request
    return JSONResponse({"error": str(error)}, 400)


class _WithHeaders:
    """Sends the headers that keep a page to itself with every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Any) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.lower().encode(), v.encode()) for name, v in _HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *ours]}
            await send(message)

        await self._app(scope, receive, send_on)


class _Guard:
    """Refuses requests without the token, and gives browsers that have it a cookie."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()
        self._cookie = f"aes_lipi_{hashlib.sha256(self._token).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.responses import PlainTextResponse  # noqa: PLC0415 - optional

        if scope["type"] != "http":
            return
        given = self._given(scope)
        if not any(hmac.compare_digest(each.encode(), self._token) for each in given):
            await PlainTextResponse(f"403: {_REFUSED}", 403)(scope, receive, send)
            return

        async def send_on(message: Any) -> None:
            if message["type"] == "http.response.start" and scope["path"] == "/":
                value = f"{self._cookie}={self._token.decode()}; HttpOnly; SameSite=Strict; Path=/"
                ours = (b"set-cookie", value.encode())
                message = {**message, "headers": [*message["headers"], ours]}
            await send(message)

        await self._app(scope, receive, send_on)

    def _given(self, scope: Scope) -> list[str]:
        """All that could be the token."""
        from starlette.requests import Request  # noqa: PLC0415 - optional

        request = Request(scope)
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        cookie = request.cookies.get(self._cookie, "")
        return [bearer, cookie, *request.query_params.getlist("token")]


class _Answers:
    """What is answered to requests that are let in.

    Args:
        watched: the studies.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._assets = _assets()

    def page(self, request: Request) -> Response:
        """The page itself."""
        del request
        return self._file("page.html")

    def asset(self, request: Request) -> Response:
        """A file of the page, of a table of all of them."""
        return self._file(request.path_params["name"])

    def studies(self, request: Request) -> Response:
        """How the studies stand; nothing where they stand as they did."""
        from starlette.responses import Response  # noqa: PLC0415 - optional

        answer = _json(
            {
                "studies": self._watched.overview(),
                "first": [f"{each.study}:{each.variant}" for each in self._watched.first()],
                "measures": LOSS_CHOICES,
                "most": MOST_CHOSEN,
            }
        )
        tag = f'"{hashlib.sha256(bytes(answer.body)).hexdigest()[:32]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        answer.headers["ETag"] = tag
        return answer

    def figures(self, request: Request) -> Response:
        """Figures of the variants that are chosen."""
        chosen = [_chosen(each) for each in request.query_params.getlist("variant")]
        measure = request.query_params.get("measure", "mean_L1")
        if measure not in LOSS_CHOICES:
            raise UserError("no such measure")
        return _json(self._watched.figures(chosen, cast("LossChoice", measure)))

    def ring(self, request: Request) -> Response:
        """The ring of one trial."""
        given = request.query_params.get("trial", "")
        if not (given.isascii() and given.isdigit() and len(given) < 10):
            raise UserError("no such trial")
        chosen = _chosen(request.query_params.get("variant", ""))
        self._watched.check(chosen)
        try:
            plots = self._watched.ring(chosen, int(given))
        except UserError as error:  # a trial to come is no fault
            return _json({"figures": [], "note": str(error)})
        return _json({"figures": [asdict(plot) for plot in plots], "note": ""})

    def _file(self, name: str) -> Response:
        from starlette.responses import PlainTextResponse, Response  # noqa: PLC0415 - optional

        if name not in self._assets:
            return PlainTextResponse("404: no such page", 404)
        return Response(self._assets[name](), media_type=_KINDS[name.rsplit(".", maxsplit=1)[-1]])


def _chosen(text: str) -> ChosenVariant:
    """A variant as the page names it: the number of its study, and its id."""
    number, _, variant = text.partition(":")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise UserError("no such variant of the studies that are shown")
    return ChosenVariant(int(number), variant)


def _assets() -> dict[str, Callable[[], bytes]]:
    """What reads each of the page's files."""
    own = files("aes_lipi.dashboard") / "assets"
    found = {name: (own / name).read_bytes for name in ("page.html", "page.css", "page.js")}
    return {**found, "plotly.js": (files("plotly") / "package_data/plotly.min.js").read_bytes}


def _json(content: Any) -> Response:
    from starlette.responses import Response  # noqa: PLC0415 - optional

    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Response(text, media_type="application/json")


def serve(locations: Sequence[str | Path], port: int | None, tell: Callable[[str], None]) -> None:
    """Serve the page until the process is interrupted.

    Args:
        locations: of studies, see `Watched`.
        port: to listen at; by default one that is free.
        tell: is told the address, once.

    Raises:
        UserError: what it needs is not installed, there is no study, or the port cannot be had.
        KeyboardInterrupt: it was interrupted.
    """
    if not all(map(is_installed, _NEEDED)):
        raise not_installed("aes-lipi dashboard", ", ".join(_NEEDED), "dashboard")
    import uvicorn  # noqa: PLC0415 - optional

    watched, token = Watched(locations), secrets.token_urlsafe(32)
    with _listening(port) as listening:
        config = uvicorn.Config(
            dashboard_app(watched, token),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=0,
        )
        server = uvicorn.Server(config)
        # Beside the main thread, where it leaves signals to the command line.
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        # By the time a browser has asked for the page, what it asks for is on its way.
        threading.Thread(target=watched.prepare, daemon=True).start()
        tell(f"http://{_LOOPBACK}:{listening.getsockname()[1]}/?token={token}")
        try:
            thread.join()
        finally:
            server.should_exit = True
            thread.join(0.3)


def _listening(port: int | None) -> socket.socket:
    """A socket that listens on the loopback address alone.

    Raises:
        UserError: the port is taken, not this user's to take, or none.
    """
    if port is not None and not 0 < port <= _LAST_PORT:
        raise UserError(f"--port {port}: ports are 1 to {_LAST_PORT}; give another, or none")
    try:
        return socket.create_server((_LOOPBACK, port or 0))
    except OSError as error:
        raise UserError(f"--port {port}: {error.strerror}; give another, or none") from None
