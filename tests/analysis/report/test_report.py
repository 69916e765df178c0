"""The report of a study: a page that stands alone, links that lead somewhere, figures, tables."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from helpers import TINY
from made_up import commit_made_up, made_up_study
from patience import PATIENCE_S

import aes_lipi
from aes_lipi.analysis.read import read_folders
from aes_lipi.analysis.report import Report, analyse, writing
from aes_lipi.analysis.report.gallery import _losses, _of_answers
from aes_lipi.analysis.report.sources import _undone
from aes_lipi.config import StudyFile, resolve_study
from aes_lipi.errors import UserError

pytestmark = pytest.mark.xdist_group("report")  # one study, one report
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FIGURES = {
    *("loss", "loss_by_prune_method", "loss_by_prune_schedule", "final_values"),
    *("network_sizes", "network_sizes_published"),
    *("best_size", "answers", "tradeoff", "ring", "prune_events", "learning_rates"),
    *("neighbourhood_losses", "distances"),
}


SHAPE = {**TINY, "hidden_sizes": [4], "prune_probability": 0.5, "store_generations": "all"}


class Page(HTMLParser):
    """The addresses, ids and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.loaded: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        if "id" in known:
            self.ids.append(known["id"])
        if tag == "a":
            self.links.append(known["href"])
        elif tag not in ("use", "image"):
            self.loaded += [known[name] for name in ("src", "href") if name in known]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real study of four variants."""
    folder = tmp_path_factory.mktemp("studies") / "a study"
    file = StudyFile(
        description="Which <operator> & schedule?",
        trials=3,
        settings=SHAPE,
        variants=(
            {"prune_method": "None"},
            {"prune_method": "random", "prune_schedule": ["fixed", "exponential"]},
            {"prune_method": "magnitude", "prune_schedule": "fixed"},
        ),
    )
    aes_lipi.run(resolve_study("tiny", file, {}), folder)
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return analyse(folder, formats=["svg"], pooled=True)


@pytest.fixture(scope="module")
def page(report: Report) -> Page:
    return Page(report.page.read_text())


def test_it_lies_in_the_studys_folder(report: Report, folder: Path) -> None:
    assert report.page == folder / "report" / "report.html"
    assert report.skipped == ()


def test_it_stands_alone(page: Page, report: Report) -> None:
    """Nothing is fetched, from the network or from beside it; drawings are in the page."""
    text = report.page.read_text()
    assert page.loaded == []
    assert "@import" not in text
    assert not re.findall(r"url\((?!#)", text)
    assert not [link for link in page.links if "://" in link]
    assert text.count("<svg") == len(report.figures)


def test_links_lead_somewhere(page: Page, report: Report, folder: Path) -> None:
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            assert (report.page.parent / unquote(link)).is_file(), link
    parquet = [link for link in page.links if link.endswith(".parquet")]
    assert len(parquet) == 2 * 12
    assert len(pd.read_parquet(report.page.parent / unquote(parquet[0]))) in (1, 12)
    assert folder.name == "a study"  # a space in the address is no obstacle


def test_it_is_reached_without_a_mouse(page: Page, report: Report) -> None:
    """What scrolls can be focused and has a name; there is a main part, and every column a head."""
    text = report.page.read_text()
    boxes = re.findall(r'<div class="(?:wide|drawing)"([^>]*)>', text)
    assert len(boxes) > 20
    assert all(re.fullmatch(r' tabindex="0" role="group" aria-label="[^"]+"', box) for box in boxes)
    assert text.count("<main>") == 1
    assert not re.findall(r"<t[hd][^>]*></th>", text)
    assert text.index('class="standing none"') < text.index("<table")
    captions = re.findall(r"<figcaption>(.*?)(?: <span|<details|</figcaption)", text)
    assert len(captions) == len(report.figures)
    assert max(map(len, captions)) <= 160


def test_ids_are_there_once(page: Page) -> None:
    assert [name for name, n in Counter(page.ids).items() if n > 1] == []


def test_every_figure_is_there(report: Report) -> None:
    names = {path.stem for path in report.figures}
    structure = {name for name in names if name.startswith("structure_v")}
    assert names - structure == FIGURES
    assert len(structure) == 4
    assert all(path.stat().st_size > 1000 for path in report.figures)


def test_it_says_what_was_run_and_on_what(page: Page, folder: Path) -> None:
    for text in (
        *("Which <operator> & schedule?", "12 trials are done", "no pruning", "random, fixed"),
        *(
            "prune_schedule",
            "batch_size",
            "no difference can be shown between these variants. With 3 trials of each",
            "pooled_cells",
            "Answers were chosen on the rows that they are shown for; the panel beside",
            "Drawn is a cell's L1 on the validation rows",
        ),
        *(aes_lipi.__version__, str(folder)),
    ):
        assert text in page.text, text


def test_tables_are_whole(report: Report, folder: Path) -> None:
    tables = {path.name: pd.read_csv(path) for path in report.tables}
    assert set(tables) == {
        *("trials.csv", "comparisons_loss.csv", "comparisons_test_loss.csv"),
        *("comparisons_capacity.csv", "generations_trial_mean.csv"),
        *("generations_trial_best.csv", "generations_pooled_cells.csv", "tradeoff.csv"),
    }
    found = tables["trials.csv"].query("measure == 'test_L1'").set_index("variant")["median"]
    expected = pd.read_parquet(folder / "trials").groupby("variant", observed=True)["test_L1"]
    assert found.to_dict() == pytest.approx(expected.median().to_dict())


def test_the_table_of_the_trade_off_has_the_front_of_all_that_was_recorded(
    report: Report, page: Page, folder: Path
) -> None:
    assert "Capacity against loss" in page.text
    assert "picked on the validation rows" in page.text
    [path] = [path for path in report.tables if path.name == "tradeoff.csv"]
    found = pd.read_csv(path).query("front == 'capacity'")
    rows = pd.read_parquet(folder / "generations").set_index(
        ["variant", "trial", "generation", "cell"]
    )
    members = rows.loc[list(zip(*(found[name] for name in rows.index.names), strict=True))]
    for name in ("capacity", "n_compact", "validation_L1", "test_L1"):
        assert members[name].tolist() == found[name].tolist()
    for size, loss in zip(rows["capacity"], rows["validation_L1"], strict=True):
        assert ((found["capacity"] <= size) & (found["validation_L1"] <= loss)).any()


def test_where_there_are_no_cells_nothing_is_said_of_them(tmp_path: Path) -> None:
    """All pairs meet, on another loss, and stop early: captions are of what is drawn."""
    shape = {**SHAPE, "cell_evaluation": "all_vs_all", "population_size": 2, "loss": "mse"}
    shape |= {"epochs": 6, "patience": 1, "record_interval": 1, "prune_method": "random"}
    shape |= {"learning_rate": 1e-30, "learning_rate_sd": 0.0}
    shape |= {"prune_probability": [0.2, 0.4], "prune_schedule": "fixed"}
    study = resolve_study("pairs", StudyFile(trials=2, settings=shape), {})
    aes_lipi.run(study, tmp_path)
    report = analyse(tmp_path, formats=["svg"])
    names = {path.stem for path in report.figures}
    assert {"answers", "tradeoff", "learning_rates", "response_prune_probability"} <= names
    assert names.isdisjoint({"ring", "neighbourhood_losses", "distances"})
    text = Page(report.page.read_text()).text
    for said in (
        "The answer is the pair that was trained last",
        "Drawn is a cell's mse on the validation rows",
        "towards its end a line is of those that went on",
        "L1, test rows, of the trials' answers",
        "When pruning struck which pair, and",
        "The rate of every pair, and their median",
        "Loss and capacity in the end",
        "mean over its cells, in its last generation, or with patience its best",
        "Values are of a trial's last generation, or with patience of its best",
    ):
        assert said in text, said
    assert text.count("towards its end a line is of those that went on") == 4
    tradeoff = text[text.index("Pareto front over all") :]
    assert "Dotted" not in tradeoff[: tradeoff.index("Drawn is a cell's mse")]
    assert "chosen on them" not in text


def test_losses_of_answers_that_were_chosen_by_them_are_not_drawn() -> None:
    chosen = {"final_cell": ["best_on_test"], "population_size": [5], "cell_evaluation": ["x"]}
    trials = pd.DataFrame({**chosen, "test_L1": [0.1], "test_L1_by_validation": [0.2]})
    measure, what = _of_answers(trials)
    assert measure == "test_L1_by_validation"
    assert "of the cell that is best on validation rows" in what
    assert _of_answers(trials.assign(population_size=1))[0] == "test_L1"
    assert _of_answers(trials.assign(final_cell="best_on_validation"))[0] == "test_L1"
    assert _of_answers(trials.assign(cell_evaluation="all_vs_all"))[0] == "test_L1"
    assert _of_answers(trials.assign(test_L1=np.nan))[0] == "mean_L1"


def test_losses_of_batches_are_of_rings_or_of_baselines_and_not_of_both() -> None:
    batch = "min_replacement_loss"
    table = pd.DataFrame(
        [(v, m, t, 1) for v in ("ring", "base") for m in ("mean_L1", batch) for t in range(9)],
        columns=["variant", "measure", "generation", "n"],
    )
    table = table[(table["measure"] == batch) | (table["generation"] > 7)]
    ways = {"variant": ["ring", "base"], "cell_evaluation": ["lipi_simple", "ann_canonical"]}
    trials = pd.DataFrame({**ways, "measurement": "published"})
    losses, drawn, said = _losses(table, trials)
    assert losses == ("mean_L1", batch)
    assert set(drawn.loc[drawn["measure"] == batch, "variant"]) == {"ring"}
    assert set(drawn.loc[drawn["measure"] == "mean_L1", "variant"]) == {"ring", "base"}
    assert said.endswith(
        "one training batch (not of baselines, which record the lowest of an epoch's)"
    )
    _, drawn, said = _losses(table, trials.assign(measurement="sound"))
    assert (len(drawn), said) == (len(table), ", and of their loss on one training batch")
    _, drawn, said = _losses(table, trials[1:])
    assert (len(drawn), said[:28]) == (len(table), ", and the lowest loss of an ")
    assert _losses(table.assign(measure="mean_L1"), trials)[0] == ("mean_L1",)


def test_losses_of_batches_are_not_drawn_of_several_kinds() -> None:
    batch, plain = "min_replacement_loss", "AutoencoderBinaryClustering"
    table = pd.DataFrame({"variant": "v", "measure": batch, "generation": range(9), "n": 1})
    ways = {"variant": ["v", "w"], "cell_evaluation": "lipi_simple", "measurement": "sound"}
    trials = pd.DataFrame({**ways, "environment": plain, "loss": [float("nan"), "l1"]})
    assert _losses(table, trials)[0] == ("mean_L1", batch)
    for other in (
        trials.assign(loss=[float("nan"), "mse"]),
        trials.assign(environment=[f"Variational{plain}", plain]),
        trials.assign(environment=["lab:Own", plain]),
    ):
        losses, drawn, said = _losses(table, other)
        assert (losses, len(drawn)) == (("mean_L1",), 9)
        assert "are of several kinds (l1, " in said


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is said in words and tables."""
    monkeypatch.setattr(writing, "pictures", lambda drawn: iter(()))


@pytest.mark.usefixtures("no_pictures")
def test_the_trade_off_of_several_folders_counts_every_trial_once(tmp_path: Path) -> None:
    study = made_up_study(["random"], 2)
    losses = np.linspace(0.1, 0.4, 6).reshape(3, 2)
    columns = {
        "validation_L1": losses,
        "test_L1": losses,
        "n_compact": np.full((3, 2), 50),
        "capacity": 1 - losses,
    }
    commit_made_up(tmp_path / "a", study, {"random": [losses]}, **columns)
    commit_made_up(tmp_path / "b", study, {"random": [losses, losses]}, **columns)
    report = analyse([tmp_path / "a", tmp_path / "b"], tmp_path / "both", formats=[])
    [path] = [path for path in report.tables if path.name == "tradeoff.csv"]
    found = pd.read_csv(path).query("front == 'capacity'")
    assert found["capacity"].tolist() == pytest.approx((1 - losses).ravel()[::-1].tolist())
    assert set(found["trial"]) == {0}


@pytest.mark.usefixtures("no_pictures")
def test_several_folders_make_one_report(tmp_path: Path) -> None:
    losses = np.linspace(0.1, 0.4, 6).reshape(3, 2)
    for name, seed in (("first", 1), ("second", 2)):
        study = made_up_study(["random"], 2, rng_seed=seed)
        commit_made_up(tmp_path / name, study, {"random": [losses + seed, losses]})
    report = analyse([tmp_path / "first", tmp_path / "second"], tmp_path / "both")
    text = Page(report.page.read_text()).text
    assert "4 trials are done" in text
    assert all(str(tmp_path / name) in text for name in ("first", "second"))
    assert "rng_seed" in text


@pytest.mark.usefixtures("no_pictures")
def test_a_report_of_some_variants_says_so_and_takes_folders_that_have_none(tmp_path: Path) -> None:
    losses = np.linspace(0.1, 0.4, 6).reshape(3, 2)
    for name in ("random", "magnitude"):
        commit_made_up(tmp_path / name, made_up_study([name], 1), {name: [losses]})
    places = [tmp_path / "random", tmp_path / "magnitude"]
    report = analyse(places, tmp_path / "some", variants="rand*")
    text = Page(report.page.read_text()).text
    assert "1 trials are done" in text
    assert "Only of variants that fit rand*" in text
    assert "Only of variants" not in Page(analyse(places, tmp_path / "all").page.read_text()).text


@pytest.mark.usefixtures("no_pictures")
def test_failed_and_missing_trials_are_shown(tmp_path: Path) -> None:
    study = made_up_study(["random", "None"], 4)
    losses = np.linspace(0.1, 0.4, 6).reshape(3, 2)
    commit_made_up(tmp_path, study, {"random": [losses, losses + 0.1, None], "None": [losses]})
    report = analyse(tmp_path, formats=[])
    page = Page(report.page.read_text())
    assert "3 trials are done, 1 failed, 4 are still to come" in page.text
    assert "ValueError: made up" in page.text
    assert "diverged" not in page.text
    assert report.figures == ()


def test_generations_that_were_undone_are_counted() -> None:
    counts = [("v1", 0), ("v2", 1200), ("v2", 0), ("v2", 34), ("v3", 0)]
    trials = pd.DataFrame(counts, columns=["variant", "n_diverged"])
    assert _undone(trials, {"v1": "calm", "v2": "wild", "v3": "other"}) == [
        "wild: training diverged, and 1,234 generations of cells were undone, in 2 of its trials"
    ]


def test_names_are_shown_whatever_they_are(tmp_path: Path) -> None:
    study = made_up_study(["random", "None"], 1)
    hostile = 'a $\\frac$ <script>"b"</script> \ud800 \u4e2d ' + "long " * 40
    losses = np.linspace(0.1, 0.4, 6).reshape(3, 2)
    commit_made_up(tmp_path, study, {"random": [losses]})
    described = json.loads((tmp_path / "study.json").read_text())
    for variant in described["variants"].values():
        variant["name"] = hostile
    described |= {"name": hostile, "description": hostile}
    (tmp_path / "study.json").write_text(json.dumps(described))
    text = analyse(tmp_path, formats=["png"]).page.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.usefixtures("no_pictures")
def test_trials_that_are_committed_meanwhile_do_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = made_up_study(["random"], 3)
    losses = np.linspace(0.1, 0.4, 6).reshape(3, 2)
    commit_made_up(tmp_path, study, {"random": [losses]})

    def read(*arguments: Any, **options: Any) -> Any:
        commit_made_up(tmp_path, study, {"random": [losses, losses - 0.05, losses]})
        return read_folders(*arguments, **options)

    monkeypatch.setattr(writing, "read_folders", read)
    assert (
        "1 trials are done, 2 are still to come"
        in Page(analyse(tmp_path, formats=[]).page.read_text()).text
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"report_dir": "s3://bucket/report"}, "a report is written to a folder here"),
        ({"formats": ["gif"]}, "gif: no format of figures; choose from svg, pdf, png"),
        ({"alpha": 2}, "alpha: must lie between 0 and 1"),
    ],
)
def test_mistakes_are_said_in_a_line(folder: Path, arguments: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        analyse(folder, **arguments)


def test_a_folder_without_trials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no results"):
        analyse(tmp_path)
    commit_made_up(tmp_path, made_up_study(["random"], 1), {"random": [None]})
    with pytest.raises(UserError, match="no trial is committed yet"):
        analyse(tmp_path)
    with pytest.raises(UserError, match="no directory to analyse"):
        analyse([])


def test_the_folder_of_a_report_may_not_be_a_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="taken"):
        analyse(folder, tmp_path / "taken", formats=["png"])


@pytest.mark.parametrize("differing", [None, 0, -1], ids=["alike", "first", "last"])
def test_other_tools_read_the_study_by_one_line_each(
    folder: Path, tmp_path: Path, differing: int | None
) -> None:
    """As the documentation has it, also where a file has a column more than the others."""
    generations = shutil.copytree(folder / "generations", tmp_path / "generations")
    if differing is not None:
        path = sorted(generations.rglob("*.parquet"))[differing]
        table = pq.ParquetFile(path).read()
        pq.write_table(table.append_column("metric_more", table["mean_L1"]), path)
    expected = pd.read_parquet(folder / "generations")["mean_L1"].mean()
    files = f"{generations}/**/*.parquet"
    rows = duckdb.read_parquet(files, hive_partitioning=True, union_by_name=True)
    assert ("metric_more" in rows.columns) == (differing is not None)
    frame = pl.scan_parquet(
        files, hive_partitioning=True, missing_columns="insert", extra_columns="ignore"
    ).collect()
    for found in (rows.df(), frame.to_pandas()):
        assert found["mean_L1"].mean() == pytest.approx(expected)
        assert found["variant"].nunique() == 4


MEASURE = """<script>
const wide = [...document.querySelectorAll("h1, h2, p, figcaption, svg")].filter(
  e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".wide, .drawing"));
document.title = JSON.stringify({
  window: innerWidth, page: document.documentElement.scrollWidth,
  wide: wide.map(e => e.outerHTML.slice(0, 80)),
  ground: getComputedStyle(document.documentElement).backgroundColor,
  ink: getComputedStyle(document.querySelector("svg")).color,
  drawn: [...document.querySelectorAll("svg")].every(e => e.getBoundingClientRect().height > 50),
});
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (500, "dark")])
def test_a_browser_shows_it(report: Report, tmp_path: Path, width: int, scheme: str) -> None:
    """On a desk and on a phone, in light and in dark: nothing sticks out, every figure is drawn."""
    copy = tmp_path / "copy.html"
    copy.write_text(report.page.read_text().replace("</body>", MEASURE + "</body>"))
    dark = [] if scheme == "light" else ["--blink-settings=preferredColorScheme=0"]
    found = subprocess.run(
        [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", *dark),
            *("--dump-dom", copy.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    ).stdout
    seen = json.loads(re.findall("<title>(.*?)</title>", found)[0].replace("&quot;", '"'))
    assert seen["page"] <= seen["window"], seen
    assert seen["wide"] == []
    assert seen["drawn"]
    light = ("rgb(255, 255, 255)", "rgb(31, 35, 40)")
    assert (seen["ground"], seen["ink"]) == (light if scheme == "light" else DARK)


DARK = ("rgb(15, 20, 25)", "rgb(230, 237, 243)")
