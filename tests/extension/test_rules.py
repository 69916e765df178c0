"""Every rule that a plug-in can break is told by name, in one line, before a study starts."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import TINY
from plugin_modules import write_module

from aes_lipi.config import Variant
from aes_lipi.errors import UserError
from aes_lipi.execution.dry_run import check_feasible

OPERATOR = "def f(genome, layout, evidence, settings, rng):\n    "
SEES = "\nf = Operator(f, needs='activations')"
SCHEDULE = "def f(moment):\n    "
DATA = "def f(rng):\n    "
LOSS = "import torch\ndef f(y, x):\n    "
AGAIN = r"gives another result when it is called again with the same input; it "
OWN = AGAIN + r"must not depend on a clock, a counter or a generator of its own$"
BOOL = r"return a bool array of shape \(\d+,\), True where an entry survives"
PROBABILITY = r"return a probability, a number from 0 to 1$"
MATRIX = r"give a numpy array of numbers from 0 to 1, of shape \(rows, columns\) or \(rows, "
LOSSES = "return a tensor with a loss for each value, or for each row"

BROKEN: dict[str, dict[str, tuple[str, str]]] = {
    "prune_method": {
        "floats": (
            OPERATOR + "return (genome > 0).astype('float32')",
            rf"returns an array of float32; {BOOL}, as result.astype\(bool\) or a comparison$",
        ),
        "shape": (OPERATOR + "return np.ones(3, bool)", rf"an array of shape \(3,\); {BOOL}$"),
        "list": (OPERATOR + "return [True] * genome.size", rf"a value of type list; {BOOL}$"),
        "nothing": (OPERATOR + "pass", rf"returns a value of type NoneType; {BOOL}$"),
        "written in place": (
            OPERATOR + "genome[0] = 0\n    return genome != 0",
            r"changes what it is given \(ValueError: assignment destination is read-only "
            r"\(plugged_\d+.py, line 3\)\); work on a copy$",
        ),
        "made writable": (
            OPERATOR + "genome.flags.writeable = True\n    genome[:] = 0\n    return genome == 0",
            r"changes genome, which it is given; work on a copy, genome.copy\(\)$",
        ),
        "evidence": (
            OPERATOR + "a = evidence.activations\n    a.setflags(write=True)\n    a += 1\n"
            "    return genome != 0" + SEES,
            r"changes evidence.activations, which it is given; work on a copy",
        ),
        "settings": (
            OPERATOR + "settings.amount = 1",
            r"changes what it is given \(FrozenInstanceError: cannot assign to field 'amount'",
        ),
        "numpy's generator": (
            OPERATOR + "return np.random.random(genome.size) < 0.5",
            AGAIN + r"draws from numpy's global generator, and must from the one it is given",
        ),
        "Python's generator": (
            "import random\n" + OPERATOR + "return genome < random.gauss(0, 0.2)",
            AGAIN + r"draws from Python's global generator",
        ),
        "own generator": (
            OPERATOR + "return np.random.default_rng().random(genome.size) < 0.5",
            OWN,
        ),
        "counter": (
            "calls = []\n" + OPERATOR + "calls.append(0)\n    "
            "return np.arange(genome.size) < len(calls)",
            OWN,
        ),
        "exception": (
            OPERATOR + "return {}['keep\\nme']",
            r"raised KeyError: 'keep\\nme' \(plugged_\d+.py, line 3\); mend it$",
        ),
        "one of ours": (
            "from aes_lipi import UserError\n" + OPERATOR + "raise UserError('no')",
            r"raised UserError: no \(plugged_\d+.py, line 4\); mend it$",
        ),
        "parameters": (
            "def f(genome, rng): pass",
            r"takes \(genome, rng\) where \(genome, layout, evidence, settings, rng\) is given; "
            r"change its parameters$",
        ),
        "value": ("f = 3", r"is of type int; name a function with the parameters \(genome, layout"),
        "needs": (
            OPERATOR + "pass\nf = Operator(f, 'all')",
            r"needs 'all'; it can need nothing, statistics, activations$",
        ),
        "class": (
            "class f:\n    def __init__(self, share): pass",
            r"cannot be made without arguments \(TypeError: .*'share'\); name an instance",
        ),
        "class without a call": (
            "class f: pass",
            r"is a class whose instances cannot be called; name a function with the parameters "
            r"\(genome, layout, evidence, settings, rng\), or give the class a method __call__$",
        ),
        "activations not asked for": (
            OPERATOR + "return genome < evidence.activations.max()",
            r"uses evidence.activations, and needs nothing; name it as Operator\(function, "
            r'needs="activations"\)$',
        ),
        "statistics not asked for": (
            OPERATOR + "evidence.statistics.standard_deviation()" + SEES,
            r"uses evidence.statistics, and needs activations; name it as Operator\(function, "
            r'needs="statistics"\)$',
        ),
        "nodes": (
            OPERATOR + "return np.ones(layout.n_nodes, bool)",
            r"returns an array with a value for each of \d+ nodes; return keep_nodes\(layout, dead",
        ),
    },
    "prune_schedule": {
        "more than one": (SCHEDULE + "return 1.5", rf"returns 1.5 at t = 0; {PROBABILITY}"),
        "later": (
            SCHEDULE + "return -moment.t",
            rf"returns a whole number at t = 1; {PROBABILITY}",
        ),
        "huge": (SCHEDULE + "return 10 ** 400", PROBABILITY),
        "nan": (SCHEDULE + "return float('nan')", rf"returns nan at t = 0; {PROBABILITY}"),
        "text": (SCHEDULE + "return '0.5'", rf"a value of type str at t = 0; {PROBABILITY}"),
        "truth": (SCHEDULE + "return True", rf"a value of type bool at t = 0; {PROBABILITY}"),
        "exception": (
            SCHEDULE + "return 1 / (moment.horizon - moment.t)",
            r"raised ZeroDivisionError: division by zero \(plugged_\d+.py, line 3\); mend it$",
        ),
        "moment": (SCHEDULE + "moment.t = 3", r"changes what it is given \(FrozenInstanceError"),
        "clock": ("import time\n" + SCHEDULE + "return time.perf_counter_ns() % 997 / 997", OWN),
        "numpy's generator": (SCHEDULE + "return np.random.random()", AGAIN + "draws from numpy's"),
        "parameters": (
            "def f(t, horizon): pass",
            r"takes \(t, horizon\) where \(moment\) is given",
        ),
    },
    "environment": {
        "value": ("f = 3", r"is of type int; name a function with the parameters \(\)$"),
        "type": ("def f(): return {}", r"gives a value of type dict; it must be an aes_lipi.plug"),
        "parameters": ("def f(n_dim): pass", r"takes \(n_dim\) where \(\) is given"),
        "exception": ("def f(): raise OSError('no disk')", r"raised OSError: no disk \(plugged"),
        "another": (
            "import itertools\nsizes = itertools.count(1)\n"
            "def f(): return Environment(latent_size=next(sizes))",
            OWN,
        ),
        **{
            f"{field}={value}": (
                f"f = Environment({field}={value})",
                rf"has {field} = .*; {remedy}",
            )
            for field, value, remedy in (
                ("hidden_sizes", "[60]", "give a tuple of whole numbers from 1"),
                ("hidden_sizes", "(60, 0)", "give a tuple of whole numbers from 1"),
                ("hidden_sizes", "(6.0,)", "give a tuple of whole numbers from 1"),
                ("latent_size", "0", "give a whole number from 1$"),
                ("latent_size", "True", "give a whole number from 1$"),
                ("variational", "1", "give True or False$"),
                ("loss", "'l2'", "give one of l1, mse, huber, bce, negative_elbo$"),
                ("loss", "[]", "give one of l1, mse, huber, bce, negative_elbo$"),
                ("loss", "'negative_elbo'", "it is the loss of variational environments"),
                ("loss", "'bce', output_activation='linear'", "it is a loss of outputs between 0"),
                ("hidden_activation", "'elu'", "give one of relu, tanh, gelu, leaky_relu$"),
                ("output_activation", "None", "give one of sigmoid, linear$"),
                ("input_noise", "-0.1", "give a number from 0$"),
                ("input_noise", "float('inf')", "give a number from 0$"),
                ("input_noise", "float('nan')", "give a number from 0$"),
                ("input_noise", "None", "give a number from 0$"),
            )
        },
    },
    "loss": {
        "number": (LOSS + "return 3.0", rf"returns a value of type float; {LOSSES}"),
        "one value": (
            LOSS + "return (y - x).abs().mean()",
            rf"of shape \(\) of one of .*; {LOSSES}",
        ),
        "double": (LOSS + "return (y - x).double()", rf"a tensor of torch.float64 .*; {LOSSES}"),
        "detached": (LOSS + "return (y - x).abs().detach()", "has no gradient by the recon"),
        "numpy": (LOSS + "return torch.tensor(np.abs(x.numpy()))", "has no gradient by the recon"),
        "infinite": (LOSS + "return (y - x) / 0", "is not finite, or its gradient is not, at val"),
        "in place": (LOSS + "return x.sub_(y).abs()", "changes what it is given; work on a copy$"),
        "other rows": (
            LOSS + "return (y - y.mean(-2, keepdim=True)).abs()",
            "makes a row's loss depend on other rows; treat each by itself$",
        ),
        "random": (LOSS + "return (y - x).abs() * torch.rand(1)", OWN),
        "exception": (LOSS + "return y @ x", r"raised RuntimeError: .*line 4\); mend it$"),
        "parameters": (
            "def f(y): pass",
            r"takes \(y\) where \(reconstruction, rows\) is given",
        ),
    },
    "dataset_name": {
        "list": (DATA + "return [[0, 1]]", rf"gives a value of type list; {MATRIX}"),
        "vector": (DATA + "return np.ones(9)", rf"gives an array of shape \(9,\); {MATRIX}"),
        "objects": (DATA + "return np.full((9, 2), None)", rf"an array of object; {MATRIX}"),
        "complex": (DATA + "return np.ones((9, 2), complex)", rf"of complex128; {MATRIX}"),
        "above one": (
            DATA + "x = np.ones((9, 2))\n    x[4, 1] = 7\n    return x",
            r", column 2, row 5: the value 7 is outside \[0, 1\]; scale the columns",
        ),
        "missing": (
            DATA + "x = np.ones((9, 2))\n    x[4, 1] = np.nan\n    return x",
            r", column 2, row 5: a missing value \(empty, null or NaN\); in all",
        ),
        "no rows": (DATA + "return np.ones((0, 2))", r": holds no rows; add data"),
        "too few rows": (DATA + "return np.ones((2, 2))", r": its 2 rows leave 2 to train, 0 to"),
        "numpy's generator": (DATA + "return np.random.rand(9, 2)", AGAIN + "draws from numpy's"),
        "own generator": (DATA + "return np.random.default_rng().random((9, 2))", OWN),
        "exception": (DATA + "return open('/no/such')", r"raised FileNotFoundError: .*line 3"),
        "parameters": ("def f(): pass", r"takes \(\) where \(rng\) is given"),
        "value": ("f = np.ones((9, 2))", r"is of type ndarray; name a function"),
        "widths": (
            DATA + "return Dataset('x', np.ones((9, 2)), np.ones((9, 3)), np.ones((9, 2)))",
            r"gives 2 columns in train, 3 columns in test, 2 columns in validation; give all",
        ),
        "widths of pictures": (
            "f = Dataset('x', np.ones((9, 2, 3)), np.ones((9, 3, 2)), np.ones((9, 2, 3)))",
            r"gives 2 x 3 columns in train, 3 x 2 columns in test, 2 x 3 columns in validation; ",
        ),
        "split": (
            "f = Dataset('x', np.ones((9, 2)), None, np.ones((9, 2)))",
            rf"gives a value of type NoneType as test; {MATRIX}",
        ),
        "range of a split": (
            "f = Dataset('x', *(np.full((9, 2), value) for value in (0.5, 1, 2)))",
            r", validation, column 1, row 1: the value 2 is outside \[0, 1\]",
        ),
    },
}

SOUND = {
    "prune_method": {
        "class": "class f:\n    def __call__(self, genome, layout, evidence, settings, rng):\n"
        "        return rng.random(genome.size) < 0.5",
        "instance": "import functools\ndef keep(share, genome, layout, evidence, settings, rng):\n"
        "    return rng.random(genome.size) > share\nf = functools.partial(keep, 0.2)",
        "operator": OPERATOR + "return genome < evidence.activations.max()" + SEES,
        "statistics": OPERATOR
        + "evidence.statistics.standard_deviation()\n    return genome != 0\n"
        "f = Operator(f, needs='statistics')",
        "same array": "kept = {}\n" + OPERATOR + "keep = kept.setdefault(genome.size, "
        "np.empty(genome.size, bool))\n    keep[:] = genome > 0\n    return keep",
    },
    "prune_schedule": {
        "whole number": SCHEDULE + "return 1",
        "numpy's": SCHEDULE + "return np.float32(0.5)",
        "keywords": "def f(moment, share=0.5): return share",
    },
    "environment": {
        "value": "f = Environment(hidden_sizes=(), input_noise=1)",
        "function": "def f(): return Environment(variational=True, loss='l1')",
        "class": "f = Environment",
        "activations": "f = Environment(hidden_activation='gelu', output_activation='linear')",
    },
    "loss": {
        "of values": LOSS + "return (y - x).abs() ** 1.5",
        "of rows": LOSS + "return 1 - torch.cosine_similarity(y, x, dim=-1)",
        "keywords": LOSS.replace("y, x", "y, x, power=3") + "return (y - x).abs() ** power",
    },
    "dataset_name": {
        "whole numbers": DATA + "return rng.integers(0, 2, (9, 2))",
        "truths": DATA + "return rng.random((9, 2)) < 0.5",
        "split": "f = Dataset('x', *3 * (np.ones((9, 2)),))",
        "pictures": DATA + "return rng.integers(0, 2, (9, 2, 3))",
        "split pictures": "f = Dataset('x', *3 * (np.ones((9, 2, 3)),))",
        "made split": DATA + "return Dataset('x', *rng.random((3, 9, 2)))",
    },
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where modules are found; Python's path is as before afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return tmp_path


def variant_with(field: str, name: str) -> Variant:
    """A small variant with a plug-in; an operator prunes in every generation."""
    given: dict[str, Any] = {"prune_method": "magnitude", "prune_probability": 1.0, **TINY}
    del given["hidden_sizes"], given["latent_size"]
    if field == "dataset_name":
        del given["n_clusters"], given["n_examples_per_cluster"], given["n_dim"]
    return Variant.model_validate(given | {field: name})


def named(folder: Path, code: str) -> str:
    """The name of the plug-in `f` of a new module with this code."""
    return f"{write_module(folder, code)}:f"


def refusal(field: str, name: str) -> str:
    with pytest.raises(UserError) as caught:
        check_feasible(variant_with(field, name))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 400
    assert message.startswith(f"{field} {name}")
    return message


@pytest.mark.parametrize(
    ("field", "rule"), [(field, rule) for field, rules in BROKEN.items() for rule in rules]
)
def test_a_broken_rule_is_told_by_name(field: str, rule: str, folder: Path) -> None:
    code, message = BROKEN[field][rule]
    assert re.search(message, refusal(field, named(folder, code)))


@pytest.mark.parametrize(
    ("field", "form"), [(field, form) for field, forms in SOUND.items() for form in forms]
)
def test_what_keeps_the_rules_is_taken(field: str, form: str, folder: Path) -> None:
    check_feasible(variant_with(field, named(folder, SOUND[field][form])))
