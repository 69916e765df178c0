"""Commands and files of the published code, as they are typed there (the page of the same name)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from plugin_modules import ROOT, refusal_of, said_in
from typer.main import get_command

import aes_lipi
from aes_lipi.analysis.report import writing
from aes_lipi.cli.run import _beside, run_app, with_switch_values
from aes_lipi.config import Variant, list_presets, load_configuration, published_code
from aes_lipi.config.defaults import OTHER_NAMES
from aes_lipi.results.reading import load_results

FILES = ROOT / "tests/fixtures/published"
PAIR = ["--sensitivities", str(FILES / "sensitivities.json")]
SWEPT = ("AutoencoderBinaryClustering", "DenoisingAutoencoderBinaryClustering")
TINY = ["--n_clusters", "2", "--n_examples_per_cluster", "4", "--n_dim", "6", "--hidden_sizes", "3"]
HERE = ["--local", "--jobs", "1", "--device", "cpu"]


def trials_shown(folder: Path, *arguments: str) -> list[str]:
    """The lines of a dry run, a variant each."""
    done = said_in(folder, "run.py", *arguments)
    assert done.returncode == 0, done.stderr
    assert not list(folder.iterdir())
    return [line for line in done.stdout.splitlines() if "variant=" in line]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--create_data True", "--create_data"),
        ("--test yes --rq capacity", "--test --rq capacity"),
        ("--rq all_rqs --all-rqs ON", "--rq all_rqs --all-rqs"),
        ("--dry_run=True --rq capacity", "--dry_run --rq capacity"),
        ("--print_cli_only False --rq capacity", "--rq capacity"),
        ("--analyse_data n --analyse_data=off", ""),
        ("--no_shuffle_data --dry_run", "--no_shuffle_data true --dry_run"),
        ("--visualize --dry_run", "--visualize true --dry_run"),
        ("--log-level INFO --dry_run", "--log-level INFO --dry_run"),
        ("--no_shuffle_data True --fresh y", "--no_shuffle_data True --fresh"),
        ("--test maybe", "--test maybe"),
        ("--rq true", "--rq true"),
        ("export True --compact", "export True --compact"),
    ],
)
def test_a_flag_may_have_its_value_in_any_spelling(given: str, meant: str) -> None:
    assert with_switch_values(given.split()) == meant.split()


def test_create_data_writes_the_papers_four_data_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ("binary_clustering_2_4_6", "binary_clustering_2_4_8")
    monkeypatch.setattr("aes_lipi.data.binary_clustering.PAPER_DATASETS", small)
    done = said_in(tmp_path, "run.py", "--create_data", "True")
    assert done.stdout.splitlines() == [f"data/{name}.npz" for name in small]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--dry_run"], "--create_data: writes files; leave --dry_run out"),
        (["--noise_probability", "0.05,0.2"], "--create_data: one value of each"),
    ],
)
def test_data_that_would_not_be_what_was_asked_for_are_refused(
    tmp_path: Path, more: list[str], told: str
) -> None:
    assert told in refusal_of(said_in(tmp_path, "run.py", "--create_data", *more))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--time_limit", "abc"), "--time_limit abc: give seconds"),
        (("--placement", "foo"), "--placement foo: give cell or trial"),
        (("--cells_per_actor", "many"), "--cells_per_actor many: give auto"),
        (("--trials_per_worker", "0"), "--trials_per_worker 0: give auto"),
        (("--cell_resources", "x"), "--cell_resources x: give amounts"),
        (("--local", "--placement", "cell"), "--local: runs without a cluster"),
    ],
)
def test_a_dry_run_refuses_flags_that_a_run_refuses(
    tmp_path: Path, flags: tuple[str, ...], told: str
) -> None:
    assert told in refusal_of(said_in(tmp_path, "run.py", "--rq", "capacity", "--dry_run", *flags))


@pytest.mark.parametrize(
    "words",
    [
        ("run.py", "--rq", "capacity", "--dry_run", "--output_dir"),
        ("run.py", "--create_data", "--output_dir"),
        ("run.py", "--rq", "capacity", "--data"),
        *(("aes-lipi", name) for name in ("status", "clean", "doctor", "analyse", "export")),
        ("aes-lipi", "reproduce", "--read_only", "--output_dir"),
        ("aes-lipi", "convert", "t4_ae.pt", "--output_dir"),
    ],
    ids=" ".join,
)
def test_an_empty_place_is_none(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Such as a variable of the shell that is not set."""
    assert "a path is empty" in refusal_of(said_in(tmp_path, *words, ""))


def test_the_data_script_has_the_same_flags(tmp_path: Path) -> None:
    script = ["--create_data", "True", "--n_dim", "12", "--n_clusters", "10"]
    done = said_in(tmp_path, "run.py", *script)
    assert done.stdout == "data/binary_clustering_10_100_12.npz\n"


def test_a_preset_is_every_combination_times_thirty_trials(tmp_path: Path) -> None:
    shown = trials_shown(tmp_path, "--rq", "lexi_prob", "--print_cli_only", "True")
    assert len(shown) == 12
    assert all("  trial=0000-0029  " in line for line in shown)


def test_all_presets_cut_short_are_shown(tmp_path: Path) -> None:
    shown = trials_shown(
        tmp_path,
        *("--rq", "all_rqs", "--all_rqs", "True", "--test", "True"),
        *("--print_cli_only", "True", "--variant_id", "0", "--trial_id", "-1"),
    )
    names = [line.split()[0] for line in shown]
    assert names == list_presets()
    assert all("  trial=0000-0001  " in line for line in shown)


def test_all_presets_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them, each in a folder of its name."""
    few = ["best_of_canonical", "capacity"]
    monkeypatch.setattr("aes_lipi.cli.run.list_presets", lambda: few)
    every = ["--rq", "all_rqs", "--all_rqs", "True", "--prune_method", "random"]
    cut = ["--trials", "1", "--epochs", "1", "--population_size", "2", *TINY, *HERE]
    done = said_in(tmp_path, "run.py", *every, *cut)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == few
    evaluations = {
        name: set(load_results(tmp_path / "results" / name).trials["cell_evaluation"])
        for name in few
    }
    assert evaluations == {"best_of_canonical": {"ann_canonical"}, "capacity": {"lipi_simple_pte"}}


def test_a_test_is_two_trials_of_four_epochs_where_nothing_else_is_said(tmp_path: Path) -> None:
    test = ["--rq", "capacity", "--test", "True", "--dry_run"]
    shown = trials_shown(tmp_path, *test)
    given = ["--rq", "capacity", "--epochs", "4", "--trials", "2", "--dry_run"]
    assert shown == trials_shown(tmp_path, *given)
    assert len(shown) == 2
    three = trials_shown(tmp_path, *test, "--trials", "3")
    assert all("  trial=0000-0002  " in line for line in three)


def test_elements_of_a_batch_array_share_a_study_out(tmp_path: Path) -> None:
    study = ["--rq", "capacity", "--test", "True", "--dry_run"]
    whole = trials_shown(tmp_path, *study)
    assert trials_shown(tmp_path, *study, "--variant_id", "-1", "--trial_id", "-1") == whole
    parts = [("--variant_id", str(v), "--trial_id", str(t)) for v in range(2) for t in range(2)]
    shown = [line for part in parts for line in trials_shown(tmp_path, *study, *part)]
    ids = [line.split()[1] for line in whole]
    expected = [[each, f"trial=000{trial}"] for each in ids for trial in range(2)]
    assert [line.split()[1:3] for line in shown] == expected


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (("--variant_id", "2"), "--variant_id 2: capacity has 0 to 1; -1 means all"),
        (("--trial_id", "1"), "--trial_id 1: capacity has 0 to 0; -1 means all"),
    ],
)
def test_a_part_that_there_is_not_is_told(tmp_path: Path, part: tuple[str, str], told: str) -> None:
    assert told in refusal_of(said_in(tmp_path, "run.py", "--rq", "capacity", *part, *HERE))


def test_a_part_runs_in_a_folder_of_its_own_with_the_bits_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = ["--rq", "capacity", "--test", "True", "--population_size", "2", *TINY, *HERE]
    monkeypatch.setattr(writing, "pictures", lambda drawn: iter(()))
    part = ["--variant_id", "1", "--trial_id", "1", "--analyse_data", "True"]
    done = said_in(tmp_path, "run.py", *study, *part)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "results/capacity_variant_1_trial_1"
    assert "report: results/capacity_variant_1_trial_1/report/report.html" in done.stdout
    page = (folder / "report/report.html").read_text()
    assert "lexicase" in page
    assert "capacity" in page
    alone = load_results(folder)
    assert alone.trials["trial"].tolist() == [1]
    rest = said_in(tmp_path, "run.py", *study, "--output_dir", str(folder))
    assert "3 trials to run, 1 done before" in rest.stderr
    others = said_in(tmp_path, "run.py", *study)
    assert others.returncode == 0, others.stderr
    columns = ["variant", "trial", "mean_L1", "test_L1"]
    whole = load_results(tmp_path / "results/capacity").trials[columns]
    assert load_results(folder).trials[columns].equals(whole)


def test_a_json_configuration_runs_where_it_says(tmp_path: Path) -> None:
    given = ["--configuration_file", str(FILES / "configuration.json")]
    done = said_in(tmp_path, "run.py", *given, *HERE)
    assert done.returncode == 0, done.stderr
    assert "configuration.json: ignored: visualize, log_level" in done.stderr.splitlines()[0]
    trials = load_results(tmp_path / "out_small").trials
    told = {"population_size": 3, "epochs": 4, "batch_size": 4, "record_test_loss": True}
    assert trials[list(told)].to_dict("records") == [told] * 2


def test_json_sensitivities_are_a_product_that_is_laid_over_a_study(tmp_path: Path) -> None:
    given = ["--config", str(FILES / "configuration.json"), *PAIR]
    shown = trials_shown(tmp_path, *given, "--dry_run", "True")
    kept = {"batch_size": 4, "dataset_name": "binary_clustering_4_16_24"}
    laid_over = {"population_size": 2, "epochs": 3}
    ids = [Variant.model_validate({**kept, **laid_over, "environment": each}).id for each in SWEPT]
    assert [line.split()[1] for line in shown] == [f"variant={each}" for each in ids]


def test_a_test_cuts_sensitivities_short_too(tmp_path: Path) -> None:
    path = write(tmp_path, epochs=[100, 400])
    (folder := tmp_path / "empty").mkdir()
    given = ["--rq", "capacity", "--variant_id", "0", "--sensitivities", str(path)]
    [shown] = trials_shown(folder, *given, "--test", "True", "--dry_run")
    assert "  trial=0000-0001  " in shown
    assert len(trials_shown(folder, "--rq", "capacity", *given[4:], "--dry_run")) == 4


def test_fields_of_the_published_code_are_flags(tmp_path: Path) -> None:
    theirs = ["--calculate_test_loss", "--data_subsample", "0.5", "--identical_initial_ann", "yes"]
    theirs += ["--ae_quality_measures", "L1,all"]
    ours = ["--record_test_loss", "--cell_data_fraction", "0.5", "--identical_initial_networks"]
    ours += ["--retrieval_measures"]
    study = ["--rq", "capacity", "--dry_run"]
    shown = trials_shown(tmp_path, *study, *theirs)
    assert shown == trials_shown(tmp_path, *study, *ours) != trials_shown(tmp_path, *study)
    unused = ["--visualize", "none", "--log-level", "INFO", "--overwrite_checkpoint", "True"]
    unused += ["--checkpoint_every_update", "False", "--no_output_dir_timestamp", "True"]
    done = said_in(tmp_path, "run.py", *study[:2], "--no_execution", "True", *theirs, *unused)
    assert [line for line in done.stdout.splitlines() if "variant=" in line] == shown
    assert done.stderr.splitlines()[0] == (
        "ignored: --visualize, --log_level, --checkpoint_every_update, --overwrite_checkpoint, "
        "--no_output_dir_timestamp"
    )
    done = said_in(tmp_path, "run.py", *study, "--ae_quality_measures", "L2")
    assert "ae_quality_measures: L2: give L1 or all" in refusal_of(done)


def test_sensitivities_alone_are_a_study() -> None:
    study = aes_lipi.load_study(FILES / "sensitivities.json")
    found = [(each.population_size, each.epochs, each.environment) for each in study.variants]
    assert found == [(2, 3, each) for each in SWEPT]
    assert study.trials == 30


def write(folder: Path, **fields: Any) -> Path:
    path = folder / "c.json"
    path.write_text(json.dumps(fields))
    return path


def test_every_field_of_a_configuration_has_its_place(tmp_path: Path) -> None:
    said = load_configuration(
        write(
            tmp_path,
            **{"ae_quality_measures": "L1,all", "calculate_test_loss": "False", "trials": 3},
            **{"checkpoint_interval": 7, "identical_initial_ann": True, "data_subsample": 0.5},
            **{"no_execution": True, "ann_path": "checkpoints/nIDX_ae.pt", "prune_method": None},
            **{"no_output_dir_timestamp": True, "overwrite_checkpoint": False, "epochs": 5},
            **{"output_dir": "there", "checkpoint_every_update": False, "lexi_threshold": 0.2},
        )
    )
    assert said.file.settings == {
        "retrieval_measures": True,
        "record_test_loss": "False",
        "identical_initial_networks": True,
        "cell_data_fraction": 0.5,
        "ann_path": str(tmp_path / "checkpoints/nIDX_ae.pt"),
        "epochs": 5,
        "lexi_threshold": 0.2,
    }
    assert (said.file.trials, said.file.checkpoint_interval) == (3, 7)
    assert (said.output_dir, said.no_execution) == ("there", True)
    assert said.ignored == (
        *("no_output_dir_timestamp", "overwrite_checkpoint", "checkpoint_every_update"),
    )


def test_a_configuration_that_wants_nothing_run_is_shown(tmp_path: Path) -> None:
    (folder := tmp_path / "empty").mkdir()
    path = write(tmp_path, epochs=3, no_execution="True", trials=1)
    assert len(trials_shown(folder, "--configuration_file", str(path))) == 1


@pytest.mark.parametrize(("truth", "is_shown"), [(1, True), ("T", True), (0, False), ("n", False)])
def test_whether_nothing_is_run_may_have_any_spelling(
    truth: Any, is_shown: bool, tmp_path: Path
) -> None:
    said = load_configuration(write(tmp_path, epochs=3, no_execution=truth))
    assert said.no_execution == is_shown


def test_a_part_of_a_study_has_a_folder_of_its_own_where_the_file_names_one(tmp_path: Path) -> None:
    path = write(tmp_path, **dict.fromkeys(("epochs", "trials"), 2), output_dir="there")
    part = ["--trial_id", "1", "--population_size", "2", *TINY, *HERE]
    done = said_in(tmp_path, "run.py", "--config", str(path), *part)
    assert done.returncode == 0, done.stderr
    assert load_results(tmp_path / "there_trial_1").trials["trial"].tolist() == [1]


@pytest.mark.parametrize(
    ("given", "own"),
    [
        ("there", "there_trial_1"),
        ("there/", "there_trial_1"),
        ("s3://bucket/x?region=a", "s3://bucket/x_trial_1?region=a"),
    ],
)
def test_the_folder_of_a_part_lies_beside_that_of_the_whole(given: str, own: str) -> None:
    assert _beside(given, "_trial_1") == own
    assert _beside(given, "") == given


def test_a_variant_may_have_the_other_name_of_what_all_have(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        settings={"data_subsample": 0.5},
        variants=[{"name": "a"}, {"name": "b", "cell_data_fraction": 0.3}],
    )
    study = aes_lipi.load_study(path)
    assert [each.cell_data_fraction for each in study.variants] == [0.5, 0.3]


@pytest.mark.parametrize(("name", "value"), [("output_dir", "there"), ("no_execution", True)])
def test_sensitivities_say_nothing_of_the_command(name: str, value: Any, tmp_path: Path) -> None:
    path = write(tmp_path, epochs=[3, 4], **{name: value})
    done = said_in(tmp_path, "run.py", "--rq", "capacity", "--sensitivities", str(path))
    assert f"c.json: {name}: is no setting to sweep; give --{name}" in refusal_of(done)


def test_a_flag_replaces_what_sensitivities_sweep_under_its_other_name(tmp_path: Path) -> None:
    path = write(tmp_path, calculate_test_loss=[True, False])
    (folder := tmp_path / "empty").mkdir()
    swept = ["--rq", "capacity", "--sensitivities", str(path), "--dry_run"]
    plain = trials_shown(folder, "--rq", "capacity", "--dry_run", "--record_test_loss", "no")
    for name in ("calculate_test_loss", "record_test_loss"):
        assert trials_shown(folder, *swept, f"--{name}", "false") == plain


def test_a_study_file_of_ours_may_be_json(tmp_path: Path) -> None:
    path = write(tmp_path, trials=2, settings={"epochs": [3, 4]})
    assert aes_lipi.load_study(path).n_trials == 4


def test_what_a_notebook_ignores_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="ignored: output_dir, visualize, log_level"):
        aes_lipi.load_study(FILES / "configuration.json")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"dataset_name": "msd"}', "the published code does not define the msd data"),
        ('{"environment": ["AutoencoderMSD"]}', "AutoencoderMSD: the published code does not"),
        ('{"ae_quality_measures": "L2"}', "L2: give L1 or all"),
        ('{"trials": [1, 2]}', "trials: give one value"),
        ('{"output_dir": 3}', "output_dir: 3: give the path of a folder"),
        ('{"no_execution": "t2"}', "no_execution: t2: give true or false"),
        (
            '{"calculate_test_loss": true, "record_test_loss": true}',
            "calculate_test_loss and record_test_loss: are one setting; give one of them",
        ),
        ('{"epochs": 3, "epochs": 4}', "'epochs' stands twice"),
        ('{"epochs": 3', "not valid JSON"),
        ('{"settings": {"epochs": 3}, "trails": 3}', "trails"),
        ('{"settings": {"epochs": 3}, "trials": true}', "true is not a number"),
        ('{"settings": {"trials": 5}}', "trials: stands beside settings, not in them"),
        ('{"settings": {"epochs": 3}, "checkpoint_interval": {"a": 1}}', "checkpoint_interval"),
        ('{"settings": {"epochs": 3}, "checkpoint_interval": [5, 6]}', "checkpoint_interval"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "expected a mapping"),
        ('{"epoch": 3}', "epoch: no such field; did you mean epochs"),
    ],
)
def test_a_configuration_that_cannot_be_run_is_told_in_one_line(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "c.json").write_text(text)
    assert told in refusal_of(said_in(tmp_path, "run.py", "--configuration_file", "c.json"))


PAGE = (ROOT / "docs/how_to/published_code.md").read_text()


def test_the_page_names_every_field_that_is_translated() -> None:
    renamed = {theirs: ours for theirs, ours in OTHER_NAMES.items() if theirs != "store_recorded"}
    for theirs, ours in renamed.items():
        assert re.search(rf"^\| `{theirs}`.*`{ours}`", PAGE, re.MULTILINE), theirs
    [ignored] = re.findall(r"^\| ((?:`\w+` )+)\| nothing: named", PAGE, re.MULTILINE)
    assert set(re.findall(r"\w+", ignored)) == set(published_code.WITHOUT_MEANING)


def test_the_page_names_flags_that_there_are() -> None:
    given = {*re.findall(r"`(--\w+)", PAGE), *re.findall(r" (--\w+)", PAGE)}
    known = [name for each in get_command(run_app).params for name in each.opts]
    assert len(given) > 12
    assert [flag for flag in given if flag not in known] == []
