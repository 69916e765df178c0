"""The settings of one variant of a study: every field, its default and its bounds.

Defaults are the published setting (algorithm section 8). Where the published work and a sound study
differ, the difference is a field here, and its description names both readings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from aes_lipi.config.defaults import (
    dependent_defaults,
    in_present_words,
    known_metrics,
    known_name,
    resolve_defaults,
    separator_name,
)
from aes_lipi.config.graph import graph_text, neighbours_in
from aes_lipi.config.parameters import one_name
from aes_lipi.errors import printable

ID_FORMAT = 3
"""Part of every variant's id. Whoever changes a field's default, or what a value means, raises it:
an id must not stand for other settings, or other results, than it stood for before."""

EnvironmentName = Literal[
    "AutoencoderBinaryClustering",
    "AutoencoderBinaryClustering_Small",
    "AutoencoderBinaryClustering_Large",
    "DenoisingAutoencoderBinaryClustering",
    "VariationalAutoencoderBinaryClustering",
    "LinearCodeAutoencoder",
]
Scale = Literal["minmax", "standard", "robust", "quantile", "power"]
LossName = Literal["l1", "mse", "huber", "bce", "negative_elbo"]
HiddenActivation = Literal["relu", "tanh", "gelu", "leaky_relu"]
OutputActivation = Literal["sigmoid", "linear"]
PruneMethod = Literal[
    "None", "random", "activation", "activation_low", "lexicase", "magnitude", "roulette"
]
PruneSchedule = Literal[
    "fixed",
    "increase",
    "decrease",
    "population",
    "exponential",
    "final_n",
    "prune_after",
    "gradual",
]

TopologyName = Literal["ring", "grid", "complete", "star", "graph"]

_MOST_MEETING = 1024  # networks that all meet: a number of a pair is kept in 20 bits

_Added = str
"""Name of something that a user adds to the built-in choices: see `aes_lipi.config.defaults`."""

BUILT_IN: Mapping[str, tuple[str, ...]] = {
    "environment": get_args(EnvironmentName),
    "loss": get_args(LossName),
    "prune_method": get_args(PruneMethod),
    "prune_schedule": get_args(PruneSchedule),
    "topology": get_args(TopologyName),
}
"""The choices to which users can add."""

DATA_FIELDS = (
    *("dataset_name", "n_clusters", "n_examples_per_cluster", "n_dim", "noise_probability"),
    *("test_noise", "dataset_seed", "data", "data_digest", "header", "separator", "scale"),
    *("test_fraction", "validation_fraction"),
    *("columns", "drop_columns", "label", "impute", "one_hot"),
)
"""What the data set depends on."""


def scale_range(scale: str) -> Literal["unit", "unbounded"]:
    """Where a `scale` leaves a table's values: all in [0, 1], or on both sides of 0."""
    return "unbounded" if scale in ("standard", "robust", "power") else "unit"


OPERATOR_FIELDS = (
    *("prune_schedule", "prune_probability", "prune_amount", "lexi_threshold", "lexicase_split"),
    *("schedule_horizon", "decrease_from", "final_n_start", "exponential_rate"),
    *("prune_unit", "gradual_start", "gradual_end", "decay_from"),
)
"""What means nothing without a pruning operator; at its default there."""

METHODS_WITHOUT_AMOUNT = ("activation", "activation_low", "lexicase")
"""Operators that find what to prune in activations, and no given share of it."""

_Fraction = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=1, lt=2**31)]
_Width = Annotated[int, Field(ge=1, le=1_000_000)]
_Names = tuple[Annotated[str, Field(min_length=1, max_length=1_000)], ...] | None
_Seed = Annotated[int, Field(ge=0, lt=2**63)]


def _setting(default: Any, group: str, description: str, *, sound: str | None = None) -> Any:
    """A field with its default, the heading it is listed under, and its help text.

    Args:
        default: what it is where it is left out; where `sound` is given, the published setting.
        group: the heading.
        description: the help text.
        sound: what a study of one's own has instead of the published setting.
    """
    extra = {"group": group} if sound is None else {"group": group, "sound": sound}
    return Field(default, description=description, json_schema_extra=dict(extra))


_FORMER_ENGINES = {
    "autograd": "the engine torch, which can differentiate as it did, took its place",
    "batched": "the engine is called torch now, on a GPU and on a CPU",
}
"""Engines of earlier versions, and what became of them."""

OF_SPACE = ("topology", "radius", "grid_rows", "update_order", "cell_data_fraction")
"""Fields that mean nothing where all are neighbours of all, and there are no cells."""


def _has_numbers(field: FieldInfo | None) -> bool:
    """Whether a field holds numbers, one or several."""
    return field is not None and _is_of_numbers(field.annotation)


def _is_of_numbers(hint: Any) -> bool:
    return hint in (int, float) or any(map(_is_of_numbers, get_args(hint)))


class Variant(BaseModel):
    """Everything that decides what a trial computes, apart from the trial's number.

    Fields left out are filled in when the value is made, those that depend on other fields too, so
    that equal settings have the same `id`; but what the environment says (`loss`, `latent_size`
    and others) stays None, and is another `id` than the same value given.

    Raises:
        pydantic.ValidationError: a field is unknown, of the wrong type or out of bounds.

    >>> Variant(cell_evaluation="ann_canonical").learning_rate_policy
    'step'
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        defer_build=True,  # help needs the fields alone
    )

    # Data
    dataset_name: str = _setting(
        "binary_clustering_10_100_1000",
        "Data",
        "binary_clustering_{K}_{N}_{X}, or K_N_X: clusters, examples per block, dimensions; or "
        "package.module:function that makes data of your own.",
    )
    n_clusters: _Count | None = _setting(None, "Data", "Replaces K of the data set's name.")
    n_examples_per_cluster: _Count | None = _setting(
        None, "Data", "Replaces N of the data set's name; divisible by the number of clusters."
    )
    n_dim: _Width | None = _setting(None, "Data", "Replaces X of the data set's name.")
    noise_probability: _Fraction = _setting(0.05, "Data", "Chance that a generated bit is flipped.")
    test_noise: Literal["shared", "independent"] = _setting(
        "shared",
        "Data",
        "Noise of test and validation rows: one mask for all blocks (published), or its own for "
        "every row (sound).",
        sound="independent",
    )
    dataset_seed: _Seed = _setting(1, "Data", "Seed of the generated data, or of a file's split.")
    data: str | None = _setting(
        None, "Data", "A table, in [0, 1] or scaled: text as CSV, Parquet, .npy or .npz."
    )
    data_digest: str | None = _setting(
        None, "Data", "SHA-256 of that file, or of the rows of your own function; filled in."
    )
    header: Literal["auto", "yes", "no"] = _setting(
        "auto", "Data", "Whether the first line of a text file names its columns."
    )
    separator: Annotated[str, BeforeValidator(separator_name)] = _setting(
        "auto",
        "Data",
        "What separates the columns of a text file: comma, semicolon, tab, pipe, space (as much as "
        "there is), or another character.",
    )
    scale: Literal["none", Scale] = _setting(
        "none",
        "Data",
        "Scaling of the columns of a file, learned on its training rows and kept in the model: "
        "minmax, by smallest and largest value; standard, by mean and deviation; robust, by median "
        "and quartiles; quantile, the share of rows below; power (Yeo-Johnson), then standard.",
    )
    columns: _Names = _setting(
        None, "Data", "Columns of a file to train on, by their names, as a,b,c; by default all."
    )
    drop_columns: _Names = _setting(None, "Data", "Columns of a file to leave out, by their names.")
    label: str | None = _setting(
        None, "Data", "The column that says what a row is: left out of training."
    )
    impute: Literal["none", "median", "constant"] = _setting(
        "none",
        "Data",
        "What a missing number becomes: the median of its column's training rows, or 0; none "
        "refuses missing values.",
    )
    one_hot: bool = _setting(
        False, "Data", "Take columns of text: a column of 0 and 1 for each text of training rows."
    )
    test_fraction: _Fraction = _setting(0.2, "Data", "Share of a file's rows kept for the test.")
    validation_fraction: _Fraction = _setting(
        0.1, "Data", "Share of a file's rows kept for validation."
    )
    cell_data_fraction: Annotated[float, Field(gt=0, le=1)] = _setting(
        1.0, "Data", "Share of the training rows that each cell sees, drawn per cell."
    )
    no_shuffle_data: bool = _setting(
        False, "Data", "Train on the rows in order instead of shuffling every pass."
    )

    # Autoencoder
    environment: EnvironmentName | _Added = _setting(
        "AutoencoderBinaryClustering", "Autoencoder", "Which autoencoder is trained."
    )
    hidden_sizes: tuple[_Width, ...] | None = _setting(
        None,
        "Autoencoder",
        "Widths of the encoder's hidden layers, mirrored by the decoder, as 60,30",
    )
    latent_size: _Width | None = _setting(
        None,
        "Autoencoder",
        "Width of the code; by default the environment's, at most half of the columns of --data.",
    )
    input_noise: Annotated[float, Field(ge=0, le=1_000)] | None = _setting(
        None,
        "Autoencoder",
        "Standard deviation of the Gaussian noise on the input while training, the target stays "
        "clean; by default the environment's: 0 in all built-in ones, the denoising one too "
        "(published). 0.4 is a sound one for that.",
        sound="0.4 in the denoising environment",
    )
    loss: LossName | _Added | None = _setting(
        None,
        "Autoencoder",
        "What is trained on and chosen by; by default the environment's: l1, the mean absolute "
        "error, or negative_elbo of the variational one. mse: the mean squared error; huber: half "
        "of that up to an error of 0.1, a line beyond; bce: the mean binary cross-entropy.",
    )
    hidden_activation: HiddenActivation | None = _setting(
        None,
        "Autoencoder",
        "Of the hidden layers, and of a code that is not linear; by default the environment's: "
        "relu.",
    )
    output_activation: OutputActivation | None = _setting(
        None,
        "Autoencoder",
        "Of the reconstruction; by default linear where scale leaves values beyond [0, 1], else "
        "the environment's: sigmoid.",
    )
    initial_weights: Literal["random", "pca"] = _setting(
        "random",
        "Autoencoder",
        "Drawn; or such that a network computes at first what PCA with a code of the same width "
        "does, with the nodes drawn that this does not need (two a component: narrower hidden "
        "layers begin with the leading components). pca takes a linear code, a linear output, and "
        "relu, leaky_relu or gelu in between.",
    )
    identical_initial_networks: bool = _setting(
        False, "Autoencoder", "Every cell starts from the same weights."
    )
    ann_path: str | None = _setting(
        None,
        "Autoencoder",
        "Start the cells from this saved model (or the centres in it), or those in this folder.",
    )
    ann_digest: str | None = _setting(None, "Autoencoder", "SHA-256 of those models; filled in.")

    # Coevolution
    cell_evaluation: Literal[
        "lipi_simple", "lipi_simple_pte", "epoch-node", "all_vs_all", "ann_canonical"
    ] = _setting("lipi_simple", "Coevolution", "What a cell does in a generation.")
    population_size: Annotated[int, Field(ge=1, lt=2**20)] = _setting(
        10, "Coevolution", "Cells; always 1 for ann_canonical."
    )
    topology: TopologyName | _Added = _setting(
        "ring",
        "Coevolution",
        "How the cells are connected: a ring, a grid that is closed like a ring both ways, all "
        "with all (complete), all with cell 0 (star), or by a graph: see edges and graph.",
    )
    edges: str | None = _setting(
        None,
        "Coevolution",
        "A text file of the edges of a graph, two cells a line: neighbours of each other.",
    )
    graph: Annotated[str, BeforeValidator(graph_text)] | None = _setting(
        None,
        "Coevolution",
        "The neighbours of every cell, as in 1 2;0;0 for a star of three; filled in from edges or "
        "from your own function.",
    )
    radius: Annotated[int, Field(ge=0, lt=2**31)] = _setting(
        1,
        "Coevolution",
        "Neighbours on each side along each axis of a ring or grid; always 0 for ann_canonical.",
    )
    grid_rows: _Count | None = _setting(
        None, "Coevolution", "Rows of the grid; by default as square as the population allows."
    )
    update_order: Literal["sequential", "synchronous", "asynchronous"] = _setting(
        "sequential",
        "Coevolution",
        "Cells one after another, seeing this generation's centres (published), all from the last "
        "generation's, or (on a cluster) each as soon as it can, from the newest there are.",
    )
    solution_concept: Literal["best_case", "worst_case", "mean_expected_utility"] = _setting(
        "best_case", "Coevolution", "How an encoder's losses over the decoders become one."
    )
    tournament_size: _Count = _setting(2, "Coevolution", "Members drawn for a tournament.")
    final_cell: Literal["best_on_test", "best_on_validation", "first"] = _setting(
        "best_on_test",
        "Coevolution",
        "The trial's answer: the centre with the lowest loss on the test split, on the validation "
        "split (sound), or cell 0 (what the published code returned).",
        sound="best_on_validation",
    )

    # Training
    epochs: Annotated[int, Field(ge=1, lt=2**24)] = _setting(
        400, "Training", "Generations; passes over the training rows."
    )
    batch_size: _Count = _setting(5, "Training", "Rows of a batch.")
    learning_rate: Annotated[float, Field(gt=0, le=10)] = _setting(
        1e-5, "Training", "Learning rate at the start."
    )
    learning_rate_policy: (
        Literal["walk", "step", "constant", "cosine", "linear", "plateau"] | None
    ) = _setting(
        None,
        "Training",
        "Random walk (the ring's), tenfold cut every max(1, epochs // 4) generations "
        "(ann_canonical's), constant, a decay to 0 by a cosine or a line, or a tenfold cut "
        "whenever the validation loss has not fallen for plateau_patience recorded generations.",
    )
    decay_from: Literal["start", "gradual_end"] = _setting(
        "start",
        "Training",
        "When step, cosine, linear and plateau begin: at the start, or after gradual_end.",
    )
    warmup: Annotated[int, Field(ge=0, lt=2**24)] = _setting(
        0, "Training", "Generations in which the learning rate rises to that of its policy."
    )
    plateau_patience: _Count = _setting(
        5, "Training", "Recorded generations that plateau waits for a lower validation loss."
    )
    patience: _Count | None = _setting(
        None,
        "Training",
        "Stop when the lowest validation loss of the ring has not fallen for so many recorded "
        "generations, and go back to the best one; with gradual, counted after gradual_end.",
    )
    target_loss: Annotated[float, Field(ge=0)] | None = _setting(
        None,
        "Training",
        "Stop when a recorded validation loss of the ring is not above this; with gradual, after "
        "gradual_end.",
    )
    learning_rate_sd: Annotated[float, Field(ge=0)] = _setting(
        1e-5, "Training", "Standard deviation of a step of the walk."
    )
    optimizer_state: Literal["step", "generation", "cell"] | None = _setting(
        None,
        "Training",
        "Adam is new at every step (the ring's), at every generation, or kept with the cell "
        "(ann_canonical's).",
    )
    on_divergence: Literal["fail", "skip"] = _setting(
        "fail",
        "Training",
        "When a weight or a loss is not finite: the trial fails, or the cell keeps its previous "
        "centre.",
    )

    # Pruning
    prune_method: PruneMethod | _Added = _setting("None", "Pruning", "The pruning operator.")
    prune_schedule: PruneSchedule | _Added = _setting(
        "fixed", "Pruning", "Probability of a prune event over the generations."
    )
    prune_probability: _Fraction = _setting(0.5, "Pruning", "The schedules' p.")
    prune_amount: Annotated[float, Field(ge=0, lt=1)] = _setting(
        0.1,
        "Pruning",
        "Share of every tensor's entries, or every layer's nodes, that random, magnitude and "
        "roulette prune.",
    )
    prune_unit: Literal["weight", "node", "hidden_node"] = _setting(
        "weight",
        "Pruning",
        "What is pruned: single weights; whole nodes, with all that leads to and from them; or "
        "whole nodes but not those of the code.",
    )
    lexi_threshold: _Fraction = _setting(
        0.1, "Pruning", "Normalised activation below which lexicase makes a node a candidate."
    )
    pruned_weights: Literal["regrow", "frozen"] = _setting(
        "regrow",
        "Pruning",
        "Pruned entries may grow again (published) or stay zero (sound).",
        sound="frozen",
    )
    lexicase_split: Literal["test", "validation"] = _setting(
        "test",
        "Pruning",
        "Rows that lexicase looks at, and operators of your own that need activations: test "
        "(published) or validation (sound).",
        sound="validation",
    )
    schedule_horizon: Literal["published", "sound"] = _setting(
        "published",
        "Pruning",
        "T of the schedules: epochs - 1, but epochs in ann_canonical (published), or epochs - 1 "
        "everywhere (sound).",
        sound="sound",
    )
    decrease_from: Literal["one", "probability"] = _setting(
        "one",
        "Pruning",
        "Where the schedule `decrease` starts: at 1 (published), or at p.",
        sound="probability",
    )
    final_n_start: _Fraction = _setting(
        0.75, "Pruning", "Share of the run after which `final_n` begins."
    )
    exponential_rate: Annotated[float, Field(gt=0)] = _setting(
        2.0, "Pruning", "Rate of the schedule `exponential`."
    )
    gradual_start: _Fraction = _setting(
        0.0,
        "Pruning",
        "Share of the run after which `gradual` begins; from there the pruned share grows as a "
        "cubic.",
    )
    gradual_end: _Fraction = _setting(
        0.75, "Pruning", "Share of the run after which `gradual` prunes the full prune_amount."
    )

    # Comparison
    name: Annotated[str, Field(min_length=1, max_length=80)] | None = _setting(
        None,
        "Comparison",
        "What tables and figures call the variant; of several of one name, with what differs. It "
        "is no part of the variant's id.",
    )
    is_control: bool = _setting(
        False,
        "Comparison",
        "A plain network that the others are compared with; --control makes one.",
    )

    # Recording
    record_interval: _Count = _setting(
        100, "Recording", "Generations between recordings of mean_L1 and test_L1."
    )
    record_test_loss: bool = _setting(
        True, "Recording", "Loss of every new centre on test rows: test_loss."
    )
    measurement: Literal["published", "sound"] = _setting(
        "published",
        "Recording",
        "What is measured on: test_loss on the first test batch, the batches of selection and "
        "replacement on the first rows where they are not shuffled, the baseline's losses as the "
        "lowest of its batches in training, std_L1 over shuffled batches, a variational code that "
        "is drawn, retrieval of a flattened batch (published); or all test rows, drawn batches, "
        "batches in order, a code's mean, retrieval by row (sound).",
        sound="sound",
    )
    retrieval_measures: bool = _setting(
        False, "Recording", "Recall at 100 and 20 and NDCG at 50 of the final model."
    )
    store_all_nodes: bool = _setting(
        False, "Recording", "Save every cell's centre, not only the best."
    )
    store_generations: Literal["none", "recorded", "all"] = _setting(
        "none",
        "Recording",
        "Save in the model's file those centres of recorded generations that no other of the trial "
        "beats in both size and validation loss, for `aes-lipi export` to pick from; or every "
        "centre of every generation (about 1 GB a published trial), so that the report draws the "
        "distances between cells. `recorded` was called store_recorded before.",
    )

    metrics: tuple[str, ...] | None = _setting(
        None,
        "Recording",
        "Functions of yours, package.module:function, of a model and the data: each fills a column "
        "metric_NAME of recorded generations; they change no other result.",
    )

    # What users add
    plugins_digest: str | None = _setting(
        None, "Plug-ins", "SHA-256 of the files that plug-ins come from; filled in."
    )

    # Execution that decides bits
    rng_seed: _Seed = _setting(1, "Randomness", "Seed of the study; also --seed.")
    engine: Literal["auto", "dense", "torch"] = _setting(
        "auto",
        "Engine",
        "What does the arithmetic; auto takes dense, but torch with device cuda, for what dense "
        "does not train, and for wide layers in large batches.",
    )
    device: Literal["auto", "cpu", "cuda"] = _setting(
        "auto",
        "Engine",
        "Where to compute; auto takes a GPU only for what the engine dense does not train.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = in_present_words(values)
        for name, value in values.items():
            field = cls.model_fields.get(name)
            if isinstance(value, bool) and field is not None and field.annotation is not bool:
                raise ValueError(f"{name}: {str(value).lower()} is not a value of this field")
            if "_" in str(value) and _has_numbers(field):
                raise ValueError(f"{name}: {printable(value)}: write numbers without underscores")
        return resolve_defaults(values)

    @field_validator(*BUILT_IN, mode="before")
    @classmethod
    def _check_name(cls, value: Any, info: ValidationInfo) -> str | None:
        field = str(info.field_name)
        if value is None and cls.model_fields[field].default is None:
            return None
        return known_name(field, one_name(value), BUILT_IN[field])

    @field_validator("metrics")
    @classmethod
    def _check_metrics(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else known_metrics(names)

    @field_validator("engine", mode="before")
    @classmethod
    def _check_engine(cls, value: Any) -> Any:
        if isinstance(value, str) and value in _FORMER_ENGINES:
            raise ValueError(f"{_FORMER_ENGINES[value]}; use torch")
        return value

    @model_validator(mode="after")
    def _check(self) -> Variant:
        if self.prune_method == "None":
            self.__dict__.update(
                {name: type(self).model_fields[name].default for name in OPERATOR_FIELDS}
            )
        self._check_gradual()
        self._check_topology()
        if self.radius > max(2, self.population_size):
            raise ValueError(
                f"radius: {self.radius} goes beyond a ring of {self.population_size}; "
                f"{self.population_size // 2} reaches every cell of it"
            )
        if self.initial_weights == "pca" and self.ann_path is not None:
            raise ValueError("initial_weights: pca and ann_path are two starts; give one of them")
        if self.grid_rows is not None and self.population_size % self.grid_rows:
            raise ValueError(
                f"grid_rows: {self.grid_rows} rows do not divide a population of "
                f"{self.population_size}"
            )
        if self.n_clusters and (self.n_examples_per_cluster or 0) % self.n_clusters:
            raise ValueError(
                f"n_examples_per_cluster: {self.n_examples_per_cluster} is not divisible by "
                f"n_clusters {self.n_clusters}; choose a multiple of {self.n_clusters}"
            )
        if self.test_fraction + self.validation_fraction >= 1:
            raise ValueError(
                "test_fraction: test_fraction and validation_fraction leave no rows to train on; "
                "their sum must be below 1"
            )
        return self

    def _check_topology(self) -> None:
        """What fits the topology, and whether a graph can be one."""
        default, topology = type(self).model_fields["radius"].default, self.topology
        is_lattice = topology in ("ring", "grid")
        if not is_lattice and self.radius != default:
            raise ValueError(
                f"radius: {self.radius} is of a ring or a grid, and means nothing for the topology "
                f"{topology}; leave it out"
            )
        if self.grid_rows is not None and topology != "grid":
            raise ValueError(
                f"grid_rows: {self.grid_rows} is of a grid, and means nothing for the topology "
                f"{topology}; leave it out"
            )
        if self.cell_evaluation == "all_vs_all" and self.population_size > _MOST_MEETING:
            raise ValueError(
                f"population_size: {self.population_size} networks make "
                f"{self.population_size**2:,} pairs; all_vs_all takes up to {_MOST_MEETING:,}"
            )
        for name in OF_SPACE if self.cell_evaluation == "all_vs_all" else ():
            if (value := getattr(self, name)) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: {value} means nothing for all_vs_all; leave it out")
        is_own = topology == "graph" or topology not in BUILT_IN["topology"]
        for name in ("edges", "graph"):
            if getattr(self, name) is not None and not is_own:
                raise ValueError(f"{name}: beside the topology {topology}; leave one of them out")
        if self.edges is not None and topology != "graph":
            raise ValueError(f"edges: beside the topology {topology}; leave one of them out")
        if self.graph is not None:
            neighbours_in(self.graph, self.population_size)
        elif topology == "graph" and self.edges is None:
            raise ValueError("topology: a graph takes --edges FILE, or --graph with all neighbours")

    def _check_gradual(self) -> None:
        if self.gradual_start > self.gradual_end:
            raise ValueError(
                f"gradual_start: {self.gradual_start} is above gradual_end {self.gradual_end}; "
                "choose one that is not"
            )
        if self.prune_schedule == "gradual" and self.prune_method in METHODS_WITHOUT_AMOUNT:
            raise ValueError(
                f"prune_schedule: gradual raises prune_amount, which {self.prune_method} does not "
                "use; choose random, magnitude or roulette, or another schedule"
            )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Variant:
        """A copy, with other values of some fields, which are not validated."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("id", None)
        return copy

    @cached_property
    def id(self) -> str:
        """Short stable name of these settings, whatever the order they were given in.

        Only fields that differ from their default count: those that a later version adds leave the
        id of a study that does not use them as it was. Data and saved models of a user's count by
        their content, not by their path or name; what a variant is called does not count.
        """
        settings = self.model_dump(mode="json")
        declared = {name: field.default for name, field in type(self).model_fields.items()}
        defaults = declared | dependent_defaults(settings)
        told = {name: value for name, value in settings.items() if value != defaults[name]}
        told.pop("name", None)
        if self.data_digest is not None:
            told = {name: told[name] for name in told if name not in ("data", "dataset_name")}
        if self.ann_digest is not None:
            told.pop("ann_path", None)
        if self.graph is not None:
            told = {name: told[name] for name in told if name not in ("topology", "edges")}
        if told.get("store_generations") == "recorded":  # as it was spelt when ids of it were made
            told["store_recorded"] = bool(told.pop("store_generations"))
        text = json.dumps([ID_FORMAT, told], sort_keys=True, separators=(",", ":"))
        return "v" + hashlib.sha256(text.encode()).hexdigest()[:10]

    def portable(self) -> dict[str, Any]:
        """The settings as they are written where results travel, as JSON has them.

        Of a user's files they have the names alone: content is told by its digest.
        """
        named = {name: getattr(self, name) for name in ("data", "ann_path", "edges")}
        names = {name: path and (Path(path).name or path) for name, path in named.items()}
        return {**self.model_dump(mode="json"), **names}

    @property
    def added(self) -> dict[str, str]:
        """The fields that name something of a user's, and these names."""
        named = {field: getattr(self, field) for field in BUILT_IN}
        added = {
            field: str(name)
            for field, name in named.items()
            if name is not None and name not in BUILT_IN[field]
        }
        if self.data is None and self.n_dim is None:
            added["dataset_name"] = self.dataset_name
        return added

    @property
    def plugged(self) -> list[tuple[str, str]]:
        """All that is a user's, as the fields that name it and the names.

        Of a topology the graph counts, and not where that came from.
        """
        added = [each for each in sorted(self.added.items()) if each[0] != "topology"]
        return added + [("metrics", name) for name in self.metrics or ()]

    @property
    def is_canonical(self) -> bool:
        """Whether this is the baseline: one autoencoder, trained alone."""
        return self.cell_evaluation == "ann_canonical"
