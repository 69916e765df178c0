"""Study files from disk: what is read, and everything else refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aes_lipi.config import (
    Study,
    StudyFile,
    Variant,
    expanded,
    load_study_file,
    resolve_study,
)
from aes_lipi.errors import UserError


def read(folder: Path, content: str | bytes) -> Study:
    """A study from the content of its file."""
    path = folder / "study.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return resolve_study("mine", load_study_file(path), {})


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, content)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_study_file_is_read_with_yaml_as_people_write_it(tmp_path: Path) -> None:
    study = read(
        tmp_path,
        """
        description: Häufigkeit?
        trials: 2
        settings:
          learning_rate: 1e-4        # YAML 1.1 takes this for text
          epochs: [3, 5]
          hidden_sizes: [6, 5]
          prune_method: None
        variants:
          - {}
          - {prune_method: random, latent_size: ~}
        """,
    )
    assert (study.description, study.trials) == ("Häufigkeit?", 2)
    assert [(v.prune_method, v.epochs) for v in study.variants] == [
        ("None", 3),
        ("None", 5),
        ("random", 3),
        ("random", 5),
    ]
    assert {(v.learning_rate, v.hidden_sizes) for v in study.variants} == {(1e-4, (6, 5))}


def study_or_refusal(folder: Path, content: str) -> Study | str:
    try:
        return read(folder, content)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# nothing",
        "just words",
        "42",
        "[1, 2]",
        "- settings: {}",
        "null",
    ],
)
def test_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str) -> None:
    assert "expected a mapping with the keys settings and variants" in refusal(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00\x01",
        b"\x00" * 64,
        bytes(range(256)),
        b"\x89PNG\r\n\x1a\n" + b"\x00\xff" * 40,
        "settings: {epochs: [1, 2}",
        "settings: {epochs: 3",
        "\tsettings: {}",
        "a: b: c",
        "settings: {? [a, b] : c}",
        "--- {}\n--- {}",
        "%YAML 9.9\n--- {}",
        "[" * 100_000,
        "{a: " * 50_000,
        "? " * 100_000,
    ],
)
def test_file_that_is_not_yaml_is_refused(tmp_path: Path, content: str | bytes) -> None:
    message = refusal(tmp_path, content)
    assert message.startswith(f"{tmp_path / 'study.yaml'}: not valid YAML: ")
    assert len(message) < 1000


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system [echo unsafe]",
        "!!python/object/new:os.system [echo unsafe]",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/tuple [1, 2]",
        "!own {}",
    ],
)
def test_tags_build_no_objects(tmp_path: Path, tag: str, capfd: pytest.CaptureFixture[str]) -> None:
    for content in (tag, f"settings: {{epochs: {tag} }}"):
        assert "could not determine a constructor" in refusal(tmp_path, content)
    assert "unsafe" not in capfd.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        "settings: &a {epochs: 3}\nvariants: [*a]",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]",
        "settings: {<<: *a}",
        "&a [*a]",
    ],
)
def test_aliases_are_refused_before_they_unfold(tmp_path: Path, content: str) -> None:
    assert "aliases are not supported" in refusal(tmp_path, content)


def test_huge_file_is_refused_unread(tmp_path: Path) -> None:
    assert "larger than a study file can be" in refusal(tmp_path, "#" * 1_000_001)


@pytest.mark.parametrize("name", ["missing.yaml", ".", "missing/study.yaml"])
def test_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(UserError, match=r"give a readable YAML file$") as caught:
        load_study_file(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("setting: {epochs: 3}", "setting: no such key; known are description, trials, settings"),
        ("epochs: 3", "epochs: no such key"),
        ("trials: 0", "trials: "),
        ("trials: many", "trials: "),
        ("description: [a]", "description: "),
        ("settings: [epochs]", "settings: "),
        ("settings: null", "settings: "),
        ("variants: {epochs: 3}", "variants"),
        ("variants: [epochs]", "variants.0: "),
        ("1: 2", "1: "),
    ],
)
def test_file_of_the_wrong_shape_is_refused_by_file_and_key(
    tmp_path: Path, content: str, place: str
) -> None:
    assert refusal(tmp_path, content).startswith(f"{tmp_path / 'study.yaml'}: {place}")


@pytest.mark.parametrize(
    "value", ["2020-01-01", "{a: 1}", "[[1]]", "!!set {a, b}", '!!binary "////"', ".inf", ".nan"]
)
def test_value_of_a_strange_type_is_refused_by_field(tmp_path: Path, value: str) -> None:
    assert refusal(tmp_path, f"settings: {{epochs: {value}}}").startswith("epochs: ")


KEYS = st.sampled_from([*Variant.model_fields, "description", "trials", "settings", "variants"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["None", "random", "fixed", "ann_canonical", "10_100_5", "3,4"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)
SETTINGS = st.dictionaries(KEYS | st.text("abc_", max_size=5), VALUES, max_size=4)
FILES = st.fixed_dictionaries(
    {}, optional={"settings": SETTINGS | VALUES, "variants": st.lists(SETTINGS), "trials": VALUES}
)


@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(FILES | SETTINGS | VALUES)
def test_any_content_is_a_study_or_is_refused_in_one_line(tmp_path: Path, content: Any) -> None:
    result = study_or_refusal(tmp_path, yaml.safe_dump(content))
    if isinstance(result, str):
        assert len(result.splitlines()) == 1
    else:
        assert result.n_trials == result.trials * len(result.variants) >= 1


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("epochs", "010"),
        ("epochs", "5:00"),
        ("epochs", "0x10"),
        ("epochs", "0b11"),
        ("epochs", "1_000"),
        ("epochs", "3,4"),
        ("epochs", "1e3"),
        ("epochs", "2020-13-45"),
        ("epochs", "1" + "0" * 5000),
        ("trials", "010"),
        ("trials", "1:00"),
        ("checkpoint_interval", "5:00"),
        ("checkpoint_interval", "010"),
        ("checkpoint_interval", "1_0"),
        ("dataset_name", "2_4_8"),
        ("dataset_seed", "0o17"),
        ("prune_probability", "0.1,0.5"),
        ("learning_rate", "1:30.5"),
        ("learning_rate", ".1"),
        ("learning_rate", "1_0e-1_0"),
        ("hidden_sizes", "060,30"),
        ("hidden_sizes", "60"),
        ("store_recorded", "on"),
        ("store_recorded", "No"),
        ("store_recorded", "perhaps"),
        ("store_recorded", "true,false"),
        ("store_generations", "all"),
        ("rng_seed", "2001-01-01"),
    ],
)
def test_text_means_the_same_in_a_file_and_in_a_flag(tmp_path: Path, field: str, text: str) -> None:
    def outcome(content: str, overrides: dict[str, str]) -> Any:
        path = tmp_path / "study.yaml"
        path.write_text(content)
        try:
            study = resolve_study("mine", load_study_file(path), overrides)
        except UserError as error:
            return str(error).removeprefix(f"{path}: ")
        return study.trials, study.interval, study.variants

    outer = field in ("trials", "checkpoint_interval")
    in_file = f"{field}: {text}" if outer else f"settings:\n  {field}: {text}"
    assert outcome(in_file, {}) == outcome("{}", {field: text})


def test_numbers_in_a_file_are_decimal(tmp_path: Path) -> None:
    study = read(tmp_path, "trials: 02\nsettings: {epochs: 010, dataset_name: 2_4_8}")
    assert (study.trials, study.variants[0].epochs, study.variants[0].n_dim) == (2, 10, 8)
    assert "epochs: input should be a valid integer" in refusal(
        tmp_path, "settings: {epochs: 5:00}"
    )


@pytest.mark.parametrize("field", ["data", "ann_path"])
@pytest.mark.parametrize("given", ["x.csv", "./sub/x.csv", "../x.csv"])
def test_paths_in_a_file_count_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, given: str
) -> None:
    folder = tmp_path / "studies"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    content = f"settings: {{{field}: [{given}]}}\nvariants: [{{}}, {{{field}: {given}}}]"
    for variant in read(folder, content).variants:
        assert Path(getattr(variant, field)).resolve() == (folder / given).resolve()
    (folder / "study.yaml").write_text(content)
    relative = resolve_study("mine", load_study_file(Path("studies/study.yaml")), {})
    assert Path(getattr(relative.variants[0], field)).resolve() == (folder / given).resolve()


def test_home_and_variables_in_paths_are_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("TABLES", "/tables")
    content = "settings: {data: [~/x.csv, '$TABLES/x.csv', '${TABLES}/y.csv', /z.csv]}"
    study = read(tmp_path, content)
    expected = ["/home/me/x.csv", "/tables/x.csv", "/tables/y.csv", "/z.csv"]
    assert [variant.data for variant in study.variants] == expected
    flag = resolve_study("mine", StudyFile(), {"data": "~/a b.csv", "ann_path": "$TABLES/m"})
    assert (flag.variants[0].data, flag.variants[0].ann_path) == ("/home/me/a b.csv", "/tables/m")


@pytest.mark.parametrize("path", ["$NOT_SET_HERE/x", "a/${NOT_SET_HERE}", "~no_such_user/x"])
def test_a_path_that_cannot_be_filled_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"(is not set|there is no such user); write the path out"):
        expanded(path)


def test_names_that_only_look_like_variables_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a$b.csv", "~x"):
        Path(name).touch()
        assert expanded(name) == name
    assert expanded("s3://bucket/$HOME") == "s3://bucket/$HOME"
    assert expanded("costs$") == "costs$"
