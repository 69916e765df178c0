"""The ring as a scikit-learn estimator."""

try:
    from aes_lipi.estimator.autoencoder_ring import AutoencoderRing
    from aes_lipi.estimator.parameters import SOUND
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "sklearn":
        raise
    raise ImportError(
        "AutoencoderRing needs scikit-learn; install it with pip install 'aes_lipi[sklearn]'"
    ) from None

__all__ = ["SOUND", "AutoencoderRing"]
