"""From a name to what it stands for: dotted paths, registered names, and mistakes in both."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import TINY, tiny_study, tiny_variant
from plugin_modules import write_distribution, write_module
from studies import assert_same_study, run_study

from aes_lipi.analysis.report import sources
from aes_lipi.config import BUILT_IN, StudyFile, Variant, resolve_study
from aes_lipi.config.defaults import GROUPS
from aes_lipi.data import Dataset
from aes_lipi.data.dataset import DataPurpose, data_stream
from aes_lipi.data.load import load_dataset
from aes_lipi.data.plugged import dataset_of
from aes_lipi.errors import UserError
from aes_lipi.execution.dry_run import check_feasible
from aes_lipi.execution.inputs import architecture_of, check_unchanged, prepare, with_digests
from aes_lipi.execution.run import Summary
from aes_lipi.extension import load
from aes_lipi.pruning.operators import OPERATOR, OPERATORS
from aes_lipi.results.reading import load_results

HALVES = """
def halves(moment):
    return 0.5

def keep(genome, layout, evidence, settings, rng):
    return rng.random(genome.size) < 0.7

small = Environment(hidden_sizes=(5,), latent_size=2)

def bits(rng):
    return rng.random((40, 6)) < 0.5
"""
PLAIN: dict[str, Any] = {
    name: value
    for name, value in TINY.items()
    if name not in ("n_clusters", "n_examples_per_cluster", "n_dim", "hidden_sizes", "latent_size")
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where modules are found; Python's path is as before afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return tmp_path


def everything(module: str, **settings: Any) -> dict[str, Any]:
    """The settings of a study of nothing but plug-ins."""
    return {
        **PLAIN,
        "prune_method": f"{module}:keep",
        "prune_schedule": f"{module}:halves",
        "environment": f"{module}:small",
        "dataset_name": f"{module}:bits",
        **settings,
    }


def check_study(settings: dict[str, Any]) -> None:
    """What happens to a study before it is computed."""
    study = with_digests(resolve_study("mine", StudyFile(settings=settings), {}))
    for variant in study.variants:
        check_feasible(variant)


def refusal(**settings: Any) -> str:
    """The one line in which a study with such settings is refused."""
    with pytest.raises(UserError) as caught:
        check_study({**TINY, "hidden_sizes": [4], **settings})
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


# --- names


@pytest.mark.parametrize("field", BUILT_IN)
@pytest.mark.parametrize(
    "name", ["a.b", "a:", ":b", "a:b:c", "a.b:c d", ".a:b", "a..b:c", "1a:b", "a/b:c", "a:b.", ""]
)
def test_what_is_no_path_and_no_name_is_refused_with_the_form_of_a_path(
    field: str, name: str
) -> None:
    message = refusal(**{"prune_method": "random"} | {field: name})
    assert message.startswith(f"{field}: input should be '")
    assert "or package.module:attribute for one of your own" in message


@pytest.mark.parametrize(
    ("field", "name", "offered"),
    [
        ("prune_method", "randon", "random"),
        ("prune_schedule", "fixd", "fixed"),
        ("environment", "AutoencoderBinaryClustering_small", "AutoencoderBinaryClustering_Small"),
    ],
)
def test_unknown_name_is_refused_with_the_nearest(field: str, name: str, offered: str) -> None:
    assert re.search(
        rf"; did you mean {offered}( or .*)?\? \(got '{name}'\)$", refusal(**{field: name})
    )


@pytest.mark.parametrize("value", [3, None, ["a:b", 3]])
def test_what_is_no_text_is_refused(value: Any) -> None:
    assert refusal(prune_schedule=value).startswith("prune_schedule: input should be 'fixed'")


def test_a_mapping_without_a_plug_in_is_refused() -> None:
    told = refusal(prune_schedule={"a": "b"})
    assert told.startswith("prune_schedule: a mapping names its plug-in: {plugin: module:name, ")


@pytest.mark.parametrize("size", ["n_clusters", "n_examples_per_cluster", "n_dim"])
def test_sizes_of_generated_data_are_refused_with_data_of_a_users(size: str) -> None:
    with pytest.raises(UserError, match=rf"^{size}: describes generated data; leave it out with"):
        resolve_study("mine", StudyFile(settings={"dataset_name": "a:b", size: 2}), {})


def test_a_path_is_not_looked_at_before_it_is_needed() -> None:
    variant = Variant.model_validate(everything("no.such.module"))
    assert variant.added == {
        "prune_method": "no.such.module:keep",
        "prune_schedule": "no.such.module:halves",
        "environment": "no.such.module:small",
        "dataset_name": "no.such.module:bits",
    }
    sizes = (variant.n_clusters, variant.n_examples_per_cluster, variant.n_dim)
    assert sizes == (None, None, None)
    assert Variant().added == {}


def test_without_an_operator_a_schedule_is_nothing() -> None:
    assert Variant.model_validate({"prune_schedule": "a.b:c"}) == Variant()


@pytest.mark.parametrize(
    ("methods", "labels"),
    [
        (["random", "my.own:weak"], ["random", "weak"]),
        (["my.own:weak", "his:weak"], ["my.own:weak", "his:weak"]),
        (["magnitude", "my.own:random"], ["magnitude", "my.own:random"]),
    ],
)
def test_labels_are_short_where_that_tells_variants_apart(
    methods: list[str], labels: list[str]
) -> None:
    study = resolve_study("mine", StudyFile(settings={"prune_method": methods}), {})
    assert [study.label(variant) for variant in study.variants] == labels


# --- loading


@pytest.mark.parametrize(
    ("code", "attribute", "message"),
    [
        ("", "halves", r"plugged_\d+ has no halves; check its name$"),
        (HALVES, "halve", r"plugged_\d+ has no halve; did you mean halves\?$"),
        (HALVES, "halves.of", r"plugged_\d+ has no of; check its name$"),
        (
            "import no_such_module",
            "f",
            r"its module cannot be imported: ModuleNotFoundError: No module named 'no_such_module' "
            r"\(plugged_\d+.py, line 2\); mend it$",
        ),
        ("1 / 0", "f", r"imported: ZeroDivisionError: division by zero \(plugged_\d+.py, line 2\)"),
        ("def f(:", "f", r"imported: SyntaxError: .*\(plugged_\d+.py, line 2\); mend it$"),
        ("raise SystemExit('bye')", "f", r"imported: SystemExit: bye \(plugged_\d+.py, line 2\)"),
    ],
)
def test_what_cannot_be_loaded_is_told(
    code: str, attribute: str, message: str, folder: Path
) -> None:
    module = write_module(folder, code)
    for field in GROUPS:
        sizes = dict.fromkeys(("n_clusters", "n_examples_per_cluster", "n_dim"))
        settings = {"prune_method": "random"} | {field: f"{module}:{attribute}"}
        told = refusal(**settings, **(sizes if field == "dataset_name" else {}))
        assert told.startswith(f"{field} {module}:{attribute}: ")
        assert re.search(message, told)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "no.such.module:f",
            "there is no module no, neither installed nor in the current directory; check its "
            r"name, or install it \(on every node of a cluster\)$",
        ),
        ("aes_lipi.nothing:f", "there is no module aes_lipi.nothing, neither"),
        ("__main__:f", "is part of the script that runs; put it in a module of its own$"),
        ("sys:exit", r"sys has no file; put it in a .py file$"),
        ("json:dumps", r"takes \(obj, .*\.\.\. where \(genome, layout, evidence, settings, rng\)"),
    ],
)
def test_modules_that_cannot_be_are_told(name: str, message: str) -> None:
    assert re.search(f"^prune_method {name}: {message}", refusal(prune_method=name))


def test_a_package_is_found_and_its_attribute_may_be_nested(folder: Path) -> None:
    (folder / "mylab").mkdir()
    (folder / "mylab" / "__init__.py").write_text("")
    (folder / "mylab" / "pruning.py").write_text(
        "class Keepers:\n    @staticmethod\n"
        "    def half(genome, layout, evidence, settings, rng):\n"
        "        return rng.random(genome.size) < 0.5\n"
    )
    check_feasible(tiny_variant(prune_method="mylab.pruning:Keepers.half"))


def test_modules_are_found_in_the_current_directory_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    module = write_module(tmp_path, HALVES)
    write_module(tmp_path, "raise SystemExit", "json")
    check_feasible(tiny_variant(prune_method=f"{module}:keep"))
    assert sys.path[-1] == str(tmp_path)


# --- registered names


def register(folder: Path, module: str, **names: str) -> None:
    """A distribution that registers what `HALVES` holds; `names` by field."""
    values = {
        "prune_method": "keep",
        "prune_schedule": "halves",
        "environment": "small",
        "dataset_name": "bits",
    }
    entries = {GROUPS[field]: {name: f"{module}:{values[field]}"} for field, name in names.items()}
    write_distribution(folder, entries, f"of_{module}")


def test_registered_names_are_known_and_offered(folder: Path) -> None:
    register(folder, write_module(folder, HALVES), prune_method="coin", dataset_name="coins")
    check_feasible(tiny_variant(prune_method="coin"))
    variant = Variant.model_validate(PLAIN | {"dataset_name": "coins"})
    check_feasible(variant)
    assert variant.added == {"dataset_name": "coins"}
    told = refusal(prune_method="coyn")
    assert "'roulette' or 'coin', or package.module:attribute" in told
    assert "; did you mean coin? (got 'coyn')" in told
    assert "; did you mean coins?; for a file use --data FILE" in refusal(
        dataset_name="coyns", n_clusters=None, n_examples_per_cluster=None, n_dim=None
    )


def test_a_built_in_name_stays_what_it_is(folder: Path) -> None:
    module = write_module(folder, "raise SystemExit")
    names = {"prune_method": "magnitude", "prune_schedule": "fixed", "dataset_name": "2_4_6"}
    register(folder, module, **names, environment="AutoencoderBinaryClustering")
    variant = Variant.model_validate(PLAIN | names)
    assert variant.added == {}
    check_feasible(variant)
    assert load(OPERATOR, "magnitude") is OPERATORS["magnitude"]


def test_a_name_that_is_registered_for_two_things_is_refused(folder: Path) -> None:
    modules = [write_module(folder, HALVES) for _ in range(2)]
    for module in modules:
        register(folder, module, prune_method="coin", dataset_name="coins")
    paths = "({0}:{2} and for {1}:{2}|{1}:{2} and for {0}:{2})"
    for field, name, attribute in (
        ("prune_method", "coin", "keep"),
        ("dataset_name", "coins", "bits"),
    ):
        told = refusal(**{field: name})
        both = paths.format(*modules, attribute)
        assert re.match(f"{field}: {name} is registered for {both}; give one of these", told)


def test_a_registration_that_names_no_attribute_is_told(folder: Path) -> None:
    write_distribution(folder, {GROUPS["prune_method"]: {"whole": "json"}}, "whole")
    assert refusal(prune_method="whole") == (
        "prune_method whole: is registered for json:, which is not module:attribute"
    )


def test_a_name_that_is_not_registered_any_more_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(folder, write_module(folder, HALVES), prune_method="token")
    variant = tiny_variant(prune_method="token")
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(folder)])
    with pytest.raises(
        UserError, match=r"^prune_method token: is not registered here; install its"
    ):
        check_feasible(variant)


# --- what they make


def test_rows_of_a_function_are_split_by_seed_as_those_of_a_file(folder: Path) -> None:
    module = write_module(folder, HALVES)
    np.save(folder / "rows.npy", load_rows())
    settings = {"test_fraction": 0.3, "dataset_seed": 5}
    made = dataset_of(Variant.model_validate({"dataset_name": f"{module}:bits", **settings}))
    read = dataset_of(Variant.model_validate({"data": str(folder / "rows.npy"), **settings}))
    assert [len(rows) for rows in made.splits] == [24, 12, 4]
    for ours, theirs in zip(made.splits, read.splits, strict=True):
        assert ours.dtype == np.float32
        assert ours.flags.c_contiguous
        np.testing.assert_array_equal(ours, theirs)
    other = dataset_of(Variant.model_validate({"dataset_name": f"{module}:bits"}))
    assert not np.array_equal(np.sort(made.train.sum(1)), np.sort(other.train.sum(1)))


def test_rows_of_more_dimensions_are_laid_out_as_those_of_a_file(folder: Path) -> None:
    module = write_module(folder, "def f(rng): return (rng.random((40, 2, 3)) < 0.5).astype(int)")
    values = data_stream(1, DataPurpose.PLUG_IN).random((40, 2, 3)) < 0.5
    np.save(folder / "pictures.npy", values.astype(int))
    made = dataset_of(Variant(dataset_name=f"{module}:f", dataset_seed=1))
    read = dataset_of(Variant(data=str(folder / "pictures.npy"), dataset_seed=1))
    assert made.n_dim == 6
    for ours, theirs in zip(made.splits, read.splits, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def load_rows() -> Any:
    """The rows that `bits` makes for the seed 5, in the order in which it makes them."""
    return (data_stream(5, DataPurpose.PLUG_IN).random((40, 6)) < 0.5).astype(np.float32)


def test_rows_of_any_range_are_scaled_on_request(folder: Path) -> None:
    module = write_module(
        folder,
        "def wide(rng): return rng.normal(7, 3, (40, 6))\n"
        "def split(rng): return Dataset('x', *rng.normal(7, 3, (3, 9, 6)))",
    )
    for name in ("wide", "split"):
        given = {"dataset_name": f"{module}:{name}", "scale": "minmax"}
        dataset = dataset_of(Variant.model_validate(given))
        assert dataset.name == name
        assert dataset.train.min() == 0
        assert dataset.train.max() == 1
        assert dataset.scaling is not None


def test_results_of_others_import_nothing(folder: Path) -> None:
    module = write_module(folder, "raise SystemExit")
    variant = Variant.model_validate({"dataset_name": f"{module}:rows"})
    with pytest.raises(UserError, match=rf"^{module}:rows: is a plug-in, and these are"):
        load_dataset(variant)
    assert sources.test_rows(variant, 6) is None


def test_a_data_set_with_splits_of_its_own_keeps_them(folder: Path) -> None:
    module = write_module(
        folder, "mine = Dataset('x', *(np.full((n, 2), n / 10) for n in (5, 3, 2)))"
    )
    dataset: Dataset = dataset_of(Variant.model_validate({"dataset_name": f"{module}:mine"}))
    assert [rows.shape for rows in dataset.splits] == [(5, 2), (3, 2), (2, 2)]
    assert [float(rows[0, 0]) for rows in dataset.splits] == [
        np.float32(n) for n in (0.5, 0.3, 0.2)
    ]


def test_an_environment_decides_the_layers_unless_widths_are_given(folder: Path) -> None:
    module = write_module(folder, HALVES)
    for given, widths in (({}, (5, 2)), ({"latent_size": 3, "hidden_sizes": (4,)}, (4, 3))):
        variant = Variant.model_validate({"environment": f"{module}:small", **given})
        layers = architecture_of(variant, 7).encoder.layers
        assert tuple(layer.n_out for layer in layers) == widths


# --- studies


def test_two_processes_give_the_bits_of_one(folder: Path) -> None:
    module = write_module(folder, HALVES)
    settings = everything(module, pruned_weights="frozen")
    study = resolve_study("mine", StudyFile(trials=2, settings=settings), {})
    assert run_study(study, folder / "one") == Summary(2, 0)
    assert run_study(study, folder / "two", jobs=2) == Summary(2, 0)
    assert_same_study(folder / "one", folder / "two")
    results = load_results(folder / "one")
    row = results.trials.iloc[0]
    assert (row["prune_method"], row["dataset_name"]) == (f"{module}:keep", f"{module}:bits")
    assert re.fullmatch("[0-9a-f]{64}", row["plugins_digest"])
    assert row["architecture"] == "6-5-2-5-6"
    assert (results.generations["prune_probability"] == 0.5).all()
    assert results.generations["n_pruned_encoder"].max() > 0


def test_results_of_built_in_choices_know_no_plug_ins(tmp_path: Path) -> None:
    study = tiny_study(trials=1)
    assert with_digests(study).variants == study.variants
    run_study(study, tmp_path / "s")
    assert load_results(tmp_path / "s").trials["plugins_digest"].isna().all()


def test_a_variant_is_known_by_the_content_of_its_plug_ins(folder: Path) -> None:
    one, same, other = (write_module(folder, code) for code in (HALVES, HALVES, HALVES + "\n# new"))

    def digest(**settings: str) -> str | None:
        study = resolve_study("mine", StudyFile(settings=settings), {})
        return with_digests(study).variants[0].plugins_digest

    assert digest() is None
    known = digest(prune_method=f"{one}:keep")
    assert known == digest(prune_method=f"{one}:keep")
    assert known not in (
        None,
        digest(prune_method=f"{other}:keep"),
        digest(dataset_name=f"{one}:bits"),
    )
    assert known != digest(prune_method=f"{same}:keep")


def test_data_that_a_function_makes_anew_in_every_process_are_refused(folder: Path) -> None:
    module = write_module(folder, "def rows(rng): return np.full((40, 6), hash('x') % 997 / 997)")
    settings = PLAIN | {"dataset_name": f"{module}:rows"}
    study = resolve_study("mine", StudyFile(trials=2, settings=settings), {})
    assert with_digests(study).variants[0].data_digest is not None
    told = rf"^dataset_name {module}:rows: makes other data than when the study was begun; it must"
    with pytest.raises(UserError, match=told):
        run_study(study, folder / "out", jobs=2)


def test_data_that_a_function_reads_count_by_their_content(folder: Path) -> None:
    path = folder / "rows.npy"
    module = write_module(folder, f"def rows(rng): return np.load({str(path)!r})")
    study = resolve_study("mine", StudyFile(settings={"dataset_name": f"{module}:rows"}), {})
    ids = set()
    for value in (0.25, 0.75, 0.25):
        np.save(path, np.full((40, 6), value))
        ids.add(with_digests(study).variants[0].id)
    assert len(ids) == 2


def test_a_worker_with_another_file_refuses_to_compute(folder: Path) -> None:
    module = write_module(folder, HALVES)
    variant = tiny_variant(prune_method=f"{module}:keep", plugins_digest="0" * 64)
    for use in (check_unchanged, prepare):
        with pytest.raises(UserError, match=rf"^prune_method {module}:keep: not the file that the"):
            use(variant)
