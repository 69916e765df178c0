"""A metric of one's own: the worst column of the validation rows."""

import numpy as np


def worst_column(model, data):
    """The mean absolute error of the worst column."""
    errors = np.abs(model.reconstruct(data.validation) - data.validation)
    return errors.mean(axis=0).max()
