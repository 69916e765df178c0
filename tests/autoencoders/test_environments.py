"""The environments of algorithm section 2, counted by hand."""

from __future__ import annotations

import itertools

import pytest

from aes_lipi.autoencoders.environments import ENVIRONMENTS, Architecture, build_architecture
from aes_lipi.config import Variant
from aes_lipi.execution.inputs import architecture_of

PLAIN = "AutoencoderBinaryClustering"
SMALL = "AutoencoderBinaryClustering_Small"
LARGE = "AutoencoderBinaryClustering_Large"
DENOISING = "DenoisingAutoencoderBinaryClustering"
VARIATIONAL = "VariationalAutoencoderBinaryClustering"
LINEAR = "LinearCodeAutoencoder"


def architecture(name: str, n_dim: int = 1000, **given: object) -> Architecture:
    return architecture_of(Variant.model_validate({"environment": name, **given}), n_dim)


@pytest.mark.parametrize(
    ("name", "encoder", "decoder"),
    [
        # X-30-Z: 1000*30+30 = 30,030 and 30*10+10 = 310; Z-30-X: 10*30+30 = 330 and
        # 30*1000+1000 = 31,000.
        (PLAIN, 30_340, 31_330),
        # 30,030 + 30*2+2 = 62; 2*30+30 = 90 + 31,000.
        (SMALL, 30_092, 31_090),
        # 1000*60+60 = 60,060; 60*30+30 = 1,830; 310. Back: 330; 30*60+60 = 1,860;
        # 60*1000+1000 = 61,000.
        (LARGE, 62_200, 63_190),
        (DENOISING, 30_340, 31_330),
        # Two heads of 310.
        (VARIATIONAL, 30_650, 31_330),
        (LINEAR, 30_340, 31_330),
    ],
)
def test_parameters_at_thousand_dimensions(name: str, encoder: int, decoder: int) -> None:
    built = architecture(name)
    assert (built.encoder.size, built.decoder.size) == (encoder, decoder)
    assert built.n_parameters == encoder + decoder


def test_published_parameter_counts() -> None:
    assert architecture(PLAIN).n_parameters == 61_670
    assert architecture(SMALL).n_parameters == 61_182


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("n_dim", [1, 7, 1000, 4000])
def test_every_environment_maps_rows_to_codes_and_back(name: str, n_dim: int) -> None:
    built = architecture(name, n_dim)
    assert built.n_dim == built.encoder.n_in == built.decoder.n_out == n_dim
    assert built.latent_size == built.encoder.n_out == built.decoder.n_in
    assert built.latent_size == (2 if name == SMALL else 10)
    hidden = (60, 30) if name == LARGE else (30,)
    assert built.encoder.hidden_sizes == hidden
    assert built.decoder.hidden_sizes == hidden[::-1]


@pytest.mark.parametrize("name", [PLAIN, SMALL, LARGE, DENOISING])
def test_encoder_is_relu_after_every_layer(name: str) -> None:
    assert {layer.activation for layer in architecture(name).encoder.layers} == {"relu"}


def test_a_linear_code_has_no_relu() -> None:
    *hidden, code = architecture(LINEAR).encoder.layers
    assert {layer.activation for layer in hidden} == {"relu"}
    assert (code.name, code.activation, code.n_out) == ("latent", "linear", 10)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_decoder_is_relu_and_then_sigmoid(name: str) -> None:
    *hidden, output = architecture(name).decoder.layers
    assert {layer.activation for layer in hidden} == {"relu"}
    assert output.activation == "sigmoid"


def test_variational_encoder_ends_in_two_linear_heads_on_one_trunk() -> None:
    trunk, mean, log_variance = architecture(VARIATIONAL).encoder.layers
    assert (trunk.name, trunk.activation, trunk.n_out) == ("hidden_1", "relu", 30)
    assert (mean.name, log_variance.name) == ("mean", "log_variance")
    for head in (mean, log_variance):
        assert (head.n_in, head.n_out, head.activation, head.reads) == (30, 10, "linear", 0)


def test_losses_and_noise_are_those_of_section_2() -> None:
    facts = {name: (e.loss, e.input_noise, e.variational) for name, e in ENVIRONMENTS.items()}
    assert facts == {
        PLAIN: ("l1", 0.0, False),
        SMALL: ("l1", 0.0, False),
        LARGE: ("l1", 0.0, False),
        DENOISING: ("l1", 0.0, False),
        VARIATIONAL: ("negative_elbo", 0.0, True),
        LINEAR: ("l1", 0.0, False),
    }


def test_a_row_in_training_consumes_noise_for_input_or_code_only() -> None:
    widths = {name: architecture(name, 7).noise_width for name in ENVIRONMENTS}
    assert widths == {PLAIN: 0, SMALL: 0, LARGE: 0, DENOISING: 0, VARIATIONAL: 10, LINEAR: 0}
    noisy = architecture_of(Variant(environment=DENOISING, n_dim=7, input_noise=0.4), 7)
    assert (noisy.noise_width, noisy.input_noise) == (7, 0.4)


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("sizes", [(), (1,), (8,), (9, 8, 7, 6)])
def test_any_sizes_are_possible(name: str, sizes: tuple[int, ...]) -> None:
    built = architecture(name, 12, hidden_sizes=sizes, latent_size=5)
    heads = 2 if name == VARIATIONAL else 1
    widths = [12, *sizes, 5]
    steps = list(itertools.pairwise(widths))
    # Each layer has (inputs + 1) * outputs parameters; the heads repeat the encoder's last one.
    encoder = sum((a + 1) * b for a, b in steps) + (heads - 1) * (widths[-2] + 1) * 5
    decoder = sum((b + 1) * a for a, b in steps)
    assert (built.encoder.size, built.decoder.size) == (encoder, decoder)
    assert built.encoder.hidden_sizes == sizes
    assert built.latent_size == 5


def test_architectures_are_values() -> None:
    one, other = (build_architecture(ENVIRONMENTS[PLAIN], 5, (3,), 2) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
