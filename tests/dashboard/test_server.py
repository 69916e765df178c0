"""The page's server: whom it answers, what it refuses, and that it writes nothing."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm
from patience import PATIENCE_S
from studies import names

from aes_lipi.dashboard import server
from aes_lipi.dashboard.server import dashboard_app, serve
from aes_lipi.dashboard.watch import Watched
from aes_lipi.errors import UserError

pytest.importorskip("starlette")
pytest.importorskip("plotly")
pytest.importorskip("httpx2")

from starlette.testclient import TestClient

TOKEN = "s3cret-" * 5
EVERYTHING = (
    "/",
    "/assets/page.js",
    "/assets/plotly.js",
    "/api/studies",
    "/api/figures",
    "/nothing",
)


@pytest.fixture(scope="module")
def anyone(folder: Path) -> TestClient:
    """A browser without the token."""
    return TestClient(dashboard_app(Watched([folder]), TOKEN), base_url="http://127.0.0.1:1234")


@pytest.fixture
def reader(anyone: TestClient) -> TestClient:
    """A browser that has opened the address with the token."""
    client = TestClient(anyone.app, base_url="http://127.0.0.1:1234")
    assert client.get(f"/?token={TOKEN}").status_code == 200
    return client


@pytest.mark.parametrize("path", EVERYTHING)
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"params": {"token": TOKEN[:-1]}},
        {"params": {"token": ""}},
        {"headers": {"Authorization": b"Bearer \xe9"}},
        {"headers": {"Authorization": f"Basic {TOKEN}"}},
        {"headers": {"Cookie": f"token={TOKEN}; other=1"}},
    ],
)
def test_without_the_token_nothing_is_answered(
    anyone: TestClient, path: str, given: dict[str, Any]
) -> None:
    answer = anyone.get(path, **given)
    assert answer.status_code == 403
    assert "`aes-lipi dashboard` printed" in answer.text
    assert "set-cookie" not in answer.headers
    assert "tiny" not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:1234", "10.0.0.1", ""])
def test_a_foreign_host_is_refused_even_with_the_token(anyone: TestClient, host: str) -> None:
    answer = anyone.get("/api/studies", params={"token": TOKEN}, headers={"Host": host})
    assert (answer.status_code, answer.text) == (400, "Invalid host header")


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost:1234", "LOCALHOST"])
def test_names_of_this_machine_are_not(anyone: TestClient, host: str) -> None:
    headers = {"Host": host, "Authorization": f"Bearer {TOKEN}"}
    assert anyone.get("/api/studies", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../server.py",
        "/assets/..%2fserver.py",
        "/assets/%2e%2e/%2e%2e/errors.py",
        "/assets/..\\server.py",
        "/assets//etc/passwd",
        "/assets/page.html%00.js",
        "/../study.json",
        "/study.json",
    ],
)
def test_no_path_leads_to_a_file(reader: TestClient, path: str) -> None:
    answer = reader.get(path)
    assert answer.status_code == 404
    assert len(answer.content) < 100


@pytest.mark.parametrize(
    "query",
    [
        "variant=1:v0123456789",
        "variant=0:../tiny",
        "variant=-1:x",
        "variant=0",
        "variant=٣:x",
        "",
        "measure=../x&variant=0:x",
    ],
)
def test_no_query_leads_elsewhere(reader: TestClient, query: str) -> None:
    for path in ("/api/figures", "/api/ring"):
        answer = reader.get(f"{path}?{query}&trial=0")
        assert answer.status_code == 400
        assert set(answer.json()) == {"error"}


def test_trials_that_there_are_not_are_told(reader: TestClient) -> None:
    [study] = reader.get("/api/studies").json()["studies"]
    variant = f"0:{study['variants'][0]['variant']}"
    for trial in ("../0", "٣", ""):
        answer = reader.get("/api/ring", params={"variant": variant, "trial": trial})
        assert (answer.status_code, answer.json()) == (400, {"error": "no such trial"})
    answer = reader.get("/api/ring", params={"variant": variant, "trial": 9})
    told = {"figures": [], "note": "nothing of trial 9 was written down yet"}
    assert (answer.status_code, answer.json()) == (200, told)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_there_is_nothing_to_change(reader: TestClient, method: str) -> None:
    for path in EVERYTHING[:-1]:
        assert reader.request(method, path).status_code == 405


def test_the_page_may_fetch_from_here_alone_and_has_no_script_of_its_own(
    reader: TestClient, anyone: TestClient
) -> None:
    for answer in (reader.get("/"), anyone.get("/"), reader.get("/", headers={"Host": "x"})):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; connect-src 'self';" in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
    page = reader.get("/").text
    assert page.count("<script") == page.count('<script src="/assets/')
    assert "http:" not in page
    assert "https:" not in page + reader.get("/assets/page.js").text


def test_the_cookie_is_for_this_page_alone(anyone: TestClient) -> None:
    cookie = anyone.get("/", params={"token": TOKEN}).headers["set-cookie"]
    name, *told = cookie.split("; ")
    assert name.endswith(f"={TOKEN}")
    assert set(told) == {"HttpOnly", "SameSite=Strict", "Path=/"}
    anyone.cookies.clear()


def test_what_did_not_change_is_not_sent_again(reader: TestClient) -> None:
    first = reader.get("/api/studies")
    again = reader.get("/api/studies", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


def test_what_is_read_is_left_as_it_was(reader: TestClient, folder: Path) -> None:
    before = names(folder)
    [study] = reader.get("/api/studies").json()["studies"]
    chosen = [f"0:{each['variant']}" for each in study["variants"]]
    assert reader.get("/api/figures", params={"variant": chosen}).status_code == 200
    assert reader.get("/api/ring", params={"variant": chosen[0], "trial": 1}).status_code == 200
    assert names(folder) == before


def test_a_real_server_prints_its_address_and_ends_quietly(folder: Path) -> None:
    command = [sys.executable, "-m", "aes_lipi", "dashboard", str(folder)]
    with warm.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        address = said.removeprefix("dashboard: ").strip()
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address) as answer:
            assert b"<title>aes_lipi</title>" in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(address.split("?")[0])
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, errors) == (130, "", "")


@pytest.mark.slow
def test_a_browser_draws_every_figure_and_has_nothing_to_complain_of(
    folder: Path, browse: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    command = [sys.executable, "-m", "aes_lipi", "dashboard", str(folder)]
    with warm.start(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        address = process.stdout.readline().removeprefix("dashboard: ").strip()
        seen = browse(address)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    assert "CONSOLE" not in seen.stderr
    titles = re.findall("<h3>([^<]*)</h3>", seen.stdout)
    assert titles[0] == "Loss over generations"
    assert {"Size and loss", "Descent: no pruning, trial 0"} <= set(titles)
    assert len(re.findall('<svg class="main-svg"', seen.stdout)) >= len(titles)


def test_a_port_that_is_taken_is_told(folder: Path) -> None:
    with server._listening(None) as taken:
        port = taken.getsockname()[1]
        assert taken.getsockname()[0] == "127.0.0.1"
        with pytest.raises(UserError, match=rf"^--port {port}: .*; give another, or none$"):
            serve([folder], port, print)


@pytest.mark.parametrize("port", [0, -1, 65536, 70000])
def test_a_port_that_there_is_not_is_told(folder: Path, port: int) -> None:
    with pytest.raises(UserError, match=rf"^--port {port}: ports are 1 to 65535; give another"):
        serve([folder], port, print)


def test_what_it_needs_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "is_installed", lambda module: module != "uvicorn")
    with pytest.raises(UserError, match=r"^aes-lipi dashboard needs .*'aes_lipi\[dashboard\]'$"):
        serve([tmp_path], None, print)
