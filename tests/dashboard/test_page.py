"""What the page does in a browser when studies change, and what it saves."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from prepared import prepared_study, run_prepared

from aes_lipi.config import StudyFile, resolve_study
from aes_lipi.dashboard import server
from aes_lipi.dashboard.server import dashboard_app
from aes_lipi.dashboard.watch import Watched
from aes_lipi.results.store import ResultStore

pytest.importorskip("starlette")
pytest.importorskip("plotly")
uvicorn = pytest.importorskip("uvicorn")

pytestmark = pytest.mark.slow

Browse = Callable[[str], "subprocess.CompletedProcess[str]"]

TOKEN = "s3cret-" * 5
SAVE = b"""
HTMLAnchorElement.prototype.click = () => {};
URL.createObjectURL = (blob) => {
  blob.text().then((text) => document.body.append(make("pre", {id: "saved", textContent: text})));
  return "#";
};
const waiting = setInterval(() => {
  if (!specs.has("final_loss")) return;
  clearInterval(waiting);
  saveValues(specs.get("final_loss"));
}, 100);
"""
PACES = b"""
const paces = [[100, true], [20000, true], [20000, false]].map((each) => redrawPause(...each));
document.addEventListener("DOMContentLoaded", () => document.body.append(
  make("pre", {id: "paces", textContent: paces.join(" ")})));
"""


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of an application while it is served."""
    with server._listening(None) as listening:
        config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=0)
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, args=([listening],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/?token={TOKEN}"
        running.should_exit = True
        thread.join()


def add_script(script: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the page run a script of the test's after its own."""
    assets = server._assets()
    tag = b'<script src="/assets/added.js" defer></script></head>'
    page = assets["page.html"]().replace(b"</head>", tag)
    found = assets | {"page.html": lambda: page, "added.js": lambda: script}
    monkeypatch.setattr(server, "_assets", lambda: found)


def test_variants_of_a_study_that_was_made_afresh_take_the_place_of_the_old(
    tmp_path: Path, browse: Browse
) -> None:
    old, new = prepared_study(1, radius=[1, 2]), prepared_study(1, radius=[2, 3])
    run_prepared(old, tmp_path)
    watched = Watched([tmp_path])
    app, answered = dashboard_app(watched, TOKEN), []

    async def made_afresh_when_it_was_drawn(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        if scope.get("path") == "/api/figures":
            answered.append(scope["query_string"].decode())
            if len(answered) == 1:
                ResultStore(tmp_path).open(new, fresh=True)
                run_prepared(new, tmp_path)
                watched._seldom.known()[0]._seen._next = 0

    gone, *_ = old.variants
    with served(made_afresh_when_it_was_drawn) as address:
        seen = browse(f"{address}#measure=mean_L1&variant=0:{gone.id}").stdout
    assert f"0%3A{gone.id}" in answered[0]
    for said in (
        ">L1, test rows, the answer*<",
        ">the same, chosen on validation rows<",
        "* Of the cell chosen on these",
    ):
        assert said in seen
    rows = re.findall(r'<tr id="0:(v[0-9a-f]+)"', seen)
    assert sorted(rows) == sorted(each.id for each in new.variants)
    assert "2 of 2 variants are drawn" in seen
    assert re.search(r'id="refused" role="alert" hidden', seen)
    figure = seen[seen.index('<figure id="final_loss"') :].partition("</figure>")[0]
    assert [label for label in ("radius=1", "radius=2", "radius=3") if label in figure] == [
        "radius=2",
        "radius=3",
    ]


def test_values_are_saved_so_that_no_name_is_a_formula(
    tmp_path: Path, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["=1+1", "@sum", "-5", 'a "b", c']
    variants = tuple({"name": name, "radius": k + 1} for k, name in enumerate(names))
    run_prepared(resolve_study("prepared", StudyFile(trials=1, variants=variants), {}), tmp_path)
    add_script(SAVE, monkeypatch)
    with served(dashboard_app(Watched([tmp_path]), TOKEN)) as address:
        seen = browse(address).stdout
    saved = re.search(r'<pre id="saved">(.*?)</pre>', seen, re.DOTALL)
    assert saved is not None
    assert unescape(saved[1]).splitlines()[1:] == [
        *("'=1+1,0,0.5", "'@sum,0,0.5", "-5,0,0.5", '"a ""b"", c",0,0.5'),
    ]


def test_figures_that_take_long_are_seldom_made_while_trials_run(
    folder: Path, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_script(PACES, monkeypatch)
    with served(dashboard_app(Watched([folder]), TOKEN)) as address:
        seen = browse(address).stdout
    assert '<pre id="paces">5000 180000 5000</pre>' in seen
