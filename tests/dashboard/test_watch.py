"""What is shown of studies: at work, killed, done; and the figures of their variants."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import warm
from analysis.candidates import candidates
from helpers import tiny_study
from patience import wait_until
from prepared import (
    prepared_failure,
    prepared_files,
    prepared_study,
    run_prepared,
    trial_ids,
)
from studies import run_study

from aes_lipi.analysis.figures.style import looks
from aes_lipi.analysis.pareto import Tradeoff
from aes_lipi.config import StudyFile, resolve_study
from aes_lipi.dashboard.plots import tradeoff_plot
from aes_lipi.dashboard.spec import Heading
from aes_lipi.dashboard.watch import MOST_CHOSEN, ChosenVariant, Watched
from aes_lipi.errors import UserError
from aes_lipi.results import index, trial_tables
from aes_lipi.results.reading import load_results
from aes_lipi.results.store import ResultStore

ROOT = Path(__file__).resolve().parents[2]


def chosen_of(watched: Watched) -> list[ChosenVariant]:
    return [
        ChosenVariant(study["number"], each["variant"])
        for study in watched.overview()
        for each in study["variants"]
    ]


def by_name(figures: dict[str, Any]) -> dict[str, Any]:
    json.dumps(figures, allow_nan=False)
    return {each["name"]: each for each in figures["figures"]}


def test_a_study_that_is_done(folder: Path) -> None:
    watched = Watched([folder])
    [study] = watched.overview()
    assert (study["state"], study["study"], study["failures"]) == ("done", "tiny", [])
    assert study["trials"]["committed"] == 4
    assert [each["label"] for each in study["variants"]] == ["no pruning", "random"]


def test_figures_show_what_the_tables_hold(folder: Path) -> None:
    watched = Watched([folder])
    found = watched.figures(chosen_of(watched), "test_L1")
    plots = by_name(found)
    assert list(plots) == ["loss", "final_loss", "encoder_size", "decoder_size", "tradeoff_0"]
    trials = load_results(folder).trials
    rows = plots["final_loss"]["rows"]
    assert sorted(row[2] for row in rows) == sorted(trials["mean_test_L1"])
    lines = [each for each in plots["loss"]["data"] if each.get("name")]
    assert [each["name"] for each in lines] == ["no pruning", "random"]
    last = {row[0]: row[3] for row in plots["loss"]["rows"]}
    for label, mine in trials.groupby("variant_name"):
        assert last[label] == pytest.approx(mine["mean_test_L1"].median())
    [machine] = found["machines"]
    assert machine["trials"] == 4


def test_a_figure_of_one_of_several_variants_is_of_that_alone(folder: Path) -> None:
    watched = Watched([folder])
    chosen = chosen_of(watched)[:1]
    plots = by_name(watched.figures(chosen, "mean_L1"))
    assert {row[0] for row in plots["final_loss"]["rows"]} == {"no pruning"}


def test_the_ring_has_every_cell_and_generation(folder: Path) -> None:
    watched = Watched([folder])
    losses, lineage = watched.ring(chosen_of(watched)[1], 0)
    rows = load_results(folder).generations
    assert len(losses.rows) == len(lineage.rows) == len(rows) / 4
    assert {row[2] for row in lineage.rows} <= {0, 1, 2, 3}


def test_losses_of_two_kinds_are_not_drawn_on_one_axis(tmp_path: Path) -> None:
    run_study(tiny_study(1, epochs=9, record_interval=9, loss=["l1", "mse"]), tmp_path)
    watched = Watched([tmp_path])
    chosen = chosen_of(watched)
    plots = by_name(watched.figures(chosen, "mean_L1"))
    assert "batch_loss" not in plots
    assert "are of several kinds (l1, mse), and not drawn." in plots["loss"]["caption"]
    assert "batch_loss" in by_name(watched.figures(chosen[:1], "mean_L1"))


def test_where_all_pairs_meet_there_is_no_ring(tmp_path: Path) -> None:
    run_study(tiny_study(1, cell_evaluation="all_vs_all"), tmp_path)
    watched = Watched([tmp_path])
    with pytest.raises(UserError, match="it has no ring of cells"):
        watched.ring(chosen_of(watched)[0], 0)


def test_a_trade_offs_table_has_what_is_drawn() -> None:
    small = candidates([0.5, 1], [0.2, 0.1], n_parameters=[100, 1000])
    small = small.assign(validation_loss=7.0)
    named, styles = Heading("name", "title", "caption"), looks(["a"])
    plot = tradeoff_plot(named, Tradeoff("data", small), styles)
    assert plot.head[4:] == ("parameters that are not zero", "validation_L1", "test_L1")
    assert [row[4] for row in plot.rows] == plot.data[-1]["x"] == [50, 1000]
    assert [row[5] for row in plot.rows] == plot.data[-1]["y"] == [0.2, 0.1]
    same = small.assign(n_parameters=100, validation_loss=[3.0, 2.0])
    plot = tradeoff_plot(named, Tradeoff("data", same, loss="mse"), styles)
    assert plot.head[4:] == ("capacity", "validation_loss", "test_L1")
    assert [row[4:6] for row in plot.rows] == [[0.5, 3], [1, 2]]


def test_what_is_drawn_first_are_the_lowest_losses_and_ready_when_it_is_asked_for(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/study.json").write_text("{}")
    watched = Watched([tmp_path, folder])
    watched.prepare()
    assert watched._drawn is not None
    ready = watched._drawn[1]
    every = [
        ChosenVariant(study["number"], each["variant"])
        for study in watched.overview()
        for each in study.get("variants", ())
    ]
    assert watched.first() == every  # both, in their order
    assert watched.figures(watched.first(), "mean_L1") is ready


def test_a_number_of_variants_is_too_many(folder: Path) -> None:
    watched = Watched([folder])
    [first, _] = chosen_of(watched)
    with pytest.raises(UserError, match=f"choose from 1 to {MOST_CHOSEN} variants"):
        watched.figures([first] * (MOST_CHOSEN + 1), "mean_L1")


def test_studies_below_a_folder_are_found_when_they_come(tmp_path: Path, folder: Path) -> None:
    study = prepared_study(1)
    ResultStore(tmp_path / "first").open(study)
    watched = Watched([tmp_path, folder])
    assert [each["study"] for each in watched.overview()] == ["prepared", "tiny"]
    ResultStore(tmp_path / "second").open(study)
    (tmp_path / "link").symlink_to(folder)
    watched._seldom._next = 0
    names = [Path(each["directory"]).name for each in watched.overview()]
    assert names == ["first", "tiny", "second"]


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no study, nor folders of studies; give"):
        Watched([tmp_path])


def test_folders_of_studies_are_found_by_variables_and_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ResultStore(tmp_path / "one").open(prepared_study(1))
    (tmp_path / "odd/study.json").mkdir(parents=True)
    monkeypatch.setenv("STUDIES", str(tmp_path))
    for place in ("$STUDIES", Path("$STUDIES"), f"file://{tmp_path}"):
        watched = Watched([place])
        assert [each["study"] for each in watched.overview()] == ["prepared"]
        assert len(watched.first()) == 1


def test_a_place_that_cannot_be_read_leaves_others_as_they_are(
    tmp_path: Path, folder: Path
) -> None:
    place = tmp_path / "place"
    ResultStore(place / "one").open(prepared_study(1))
    watched = Watched([place, folder])
    (place / "one/study.json").unlink()
    (place / "one").rmdir()
    place.rmdir()
    place.write_text("no folder any more")
    gone, other = watched.overview()
    assert "holds no study" in gone["error"]
    assert other["state"] == "done"
    assert [each.study for each in watched.first()] == [1, 1]


def test_figures_of_several_studies_are_of_what_was_chosen_in_each(tmp_path: Path) -> None:
    for name, trials in (("first", 1), ("second", 3)):
        run_prepared(prepared_study(trials, radius=[1, 2]), tmp_path / name)
    watched = Watched([tmp_path])
    first_1, first_2, second_1, _ = chosen_of(watched)
    found = watched.figures([first_2, second_1], "mean_L1")
    rows = by_name(found)["final_loss"]["rows"]
    assert [row[:2] for row in rows] == [
        *(["radius=1", trial] for trial in range(3)),
        ["radius=2", 0],
    ]
    assert (found["notes"], found["skipped"]) == ([], [])
    [note] = watched.figures([first_1, second_1], "mean_L1")["notes"]
    assert note.startswith("radius=1: chosen of 2 studies and drawn once, over the trials of all; ")


def test_a_study_that_was_made_afresh_is_drawn_anew(tmp_path: Path) -> None:
    study = prepared_study(2)
    run_prepared(study, tmp_path)
    watched = Watched([tmp_path])
    [before] = watched.overview()
    assert watched.figures(chosen_of(watched), "mean_L1")["machines"][0]["median_s"] == 1
    ResultStore(tmp_path).open(study, fresh=True)
    run_prepared(study, tmp_path, run=1)
    watched._seldom.known()[0]._seen._next = 0
    [after] = watched.overview()
    assert after["trials"] == before["trials"]
    assert after["content"] != before["content"]
    assert watched.figures(chosen_of(watched), "mean_L1")["machines"][0]["median_s"] == 10


def test_names_that_look_like_numbers_are_names(tmp_path: Path) -> None:
    variants = ({"name": "0.1", "radius": 1}, {"name": "0.02", "radius": 2})
    study = resolve_study("prepared", StudyFile(trials=1, variants=variants), {})
    run_prepared(study, tmp_path)
    watched = Watched([tmp_path])
    axis = by_name(watched.figures(chosen_of(watched), "mean_L1"))["final_loss"]["layout"]["yaxis"]
    assert (axis["type"], axis["categoryarray"]) == ("category", ["0.02", "0.1"])


def test_failures_have_their_reasons_and_a_study_that_nobody_runs_says_so(tmp_path: Path) -> None:
    study = prepared_study(3)
    store = ResultStore(tmp_path)
    store.open(study)
    done, failed, _ = trial_ids(study)
    store.commit(done, prepared_files(done))
    store.record_failure(failed, prepared_failure(failed))
    [told] = Watched([tmp_path]).overview()
    assert told["state"] == "stopped"
    assert [(each["trial"], each["error"]) for each in told["failures"]] == [
        (failed.trial, "ValueError: made up")
    ]


def test_a_failure_that_does_not_say_where_is_told_all_the_same(tmp_path: Path) -> None:
    study = prepared_study(3)
    store = ResultStore(tmp_path)
    store.open(study)
    failed = trial_ids(study)[1]
    store.record_failure(failed, {**prepared_failure(failed), "host": None, "error": None})
    [told] = Watched([tmp_path]).overview()
    json.dumps(told, allow_nan=False)
    assert told["failures"][0]["trial"] == failed.trial


def test_the_index_is_kept_in_memory_and_the_folder_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_RECENT_S", 0.0)
    run_prepared(prepared_study(index._WORTH + 4), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    watched = Watched([tmp_path])
    chosen = chosen_of(watched)
    first = watched.figures(chosen, "mean_L1")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    monkeypatch.setattr(trial_tables, "_decode", lambda *_: pytest.fail("a file is read again"))
    [study] = watched._seldom.known()
    study._seen._next, watched._drawn = 0, None
    assert watched.overview()[0]["trials"]["committed"] == index._WORTH + 4
    assert watched.figures(chosen, "mean_L1") == first


def test_a_study_that_went_away_is_told_and_others_stay(tmp_path: Path, folder: Path) -> None:
    ResultStore(tmp_path / "gone").open(prepared_study(1))
    watched = Watched([tmp_path / "gone", folder])
    (tmp_path / "gone/study.json").write_text("{}")
    broken, other = watched.overview()
    assert "not a study description" in broken["error"]
    assert other["state"] == "done"


def test_a_study_at_work_and_killed(tmp_path: Path, folder: Path) -> None:
    made = tmp_path / "study"
    command = [
        *(sys.executable, str(ROOT / "run.py"), "--rq", "quickstart", "--prune_method", "None"),
        *("--n_clusters", "2", "--n_examples_per_cluster", "4", "--n_dim", "6", "--trials", "1"),
        *("--population_size", "3", "--epochs", "1000000", "--checkpoint_interval", "1s"),
        *("--device", "cpu", "--jobs", "1", "--local", "--output_dir", str(made)),
    ]
    with warm.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        wait_until((made / "study.json").exists)
        watched = Watched([made])
        wait_until(lambda: any(each["generations"] for each in watched.overview()[0]["running"]))
        [study] = watched.overview()
        assert study["state"] == "running"
        chosen = chosen_of(watched)
        plots = by_name(watched.figures(chosen, "mean_L1"))
        [thin] = plots["loss"]["data"]
        assert thin["name"].endswith("trial 0, running")
        [of_batches] = plots["batch_loss"]["data"]
        assert thin["showlegend"]  # nothing else says what it is
        assert len(of_batches["x"]) > len(thin["x"])
        losses, _ = watched.ring(chosen[0], 0)
        assert {row[1] for row in losses.rows} == {0, 1, 2}
        both = Watched([made, folder])  # what differs over both is what it is called
        both.overview()
        beside = by_name(both.figures(chosen_of(both), "mean_L1"))["loss"]["data"]
        driver.kill()
    assert sum(each.get("name", "").endswith("trial 0, running") for each in beside) == 1
    [known] = watched._seldom.known()
    assert len(known._courses) == 1
    wait_until(lambda: not watched.overview()[0]["running"])
    watched.figures(chosen, "mean_L1")
    assert known._courses == {}
    left = Watched([made])
    assert len(left.ring(chosen[0], 0)[0].rows) >= len(losses.rows)
    [study] = left.overview()
    assert (study["state"], study["running"], study["seconds_left"]) == ("killed", [], None)
    assert study["driver"]["pid"] == driver.pid
