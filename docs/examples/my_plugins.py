"""What the examples add: a pruning operator, a schedule, an environment and a topology."""

from aes_lipi.plugins import Environment

shallow = Environment(hidden_sizes=(8,), latent_size=4)


def small(genome, layout, evidence, settings, rng, *, quota: float = 0.2):  # noqa: D103
    return abs(genome) > quota * abs(genome).mean()


def late(moment):  # noqa: D103
    return moment.probability * moment.progress**2
