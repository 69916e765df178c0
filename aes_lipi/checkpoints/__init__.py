"""Trials on their way as bytes, from which they go on with the same bits."""

from aes_lipi.checkpoints.content import (
    Checkpoint,
    Identity,
    decode_checkpoint,
    digest_of_reads,
    encode_checkpoint,
    glance,
    identify,
    software,
)

__all__ = [
    "Checkpoint",
    "Identity",
    "decode_checkpoint",
    "digest_of_reads",
    "encode_checkpoint",
    "glance",
    "identify",
    "software",
]
