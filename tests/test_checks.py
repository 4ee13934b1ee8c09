"""Parameters: what is a number, a list of them or a word; and all parameters of all built-in parts."""

import inspect
import math
from fractions import Fraction

import numpy as np
import pytest

from recon_anomaly.checks import at_least, check_choice, check_counts, check_number
from recon_anomaly.errors import InputError
from recon_anomaly.registry import KINDS, build, build_network, find, offers


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2), Fraction(4, 2)])
def test_numbers_of_all_kinds_become_floats(value):
    """NumPy's and exact ones are as good as Python's own."""
    number = check_number("x", value, least=2)
    assert (number, type(number)) == (2.0, float)


@pytest.mark.parametrize("value", ["2", None, True, [2], 2j, math.nan, math.inf, -math.inf, 1.9])
def test_what_is_no_number_is_refused(value):
    """Neither text nor truth is a number, nor what is not finite or too small."""
    with pytest.raises(InputError, match=r"^x is .*; give one from 2 on$"):
        check_number("x", value, "one from 2 on", 2)


@pytest.mark.parametrize("value", ["c", ["a"], None, {}])
def test_what_is_no_choice_is_refused(value):
    """The choices are listed, also where what was got has no hash."""
    with pytest.raises(InputError, match=r"^x is .*; give one of: a, b$"):
        check_choice("x", value, {"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("ends", "inside"),
    [({"least": 0, "below": 1}, [0, 0.5]), ({"above": 0, "most": 1}, [0.5, 1])],
)
def test_a_range_has_ends_that_belong_to_it_or_not(ends, inside):
    """Of five numbers in and around [0, 1] those are taken that lie in it."""
    for value in (-0.5, 0, 0.5, 1, 1.5):
        if value in inside:
            assert check_number("x", value, **ends) == value
        else:
            with pytest.raises(InputError, match=r"^x is .*; give what is inside$"):
                check_number("x", value, "what is inside", **ends)


@pytest.mark.parametrize("value", [2, np.int64(2), np.uint8(2)])
def test_whole_numbers_become_ints(value):
    """NumPy's are as good as Python's own."""
    assert at_least("x", value, 2) == 2
    assert type(at_least("x", value, 2)) is int


@pytest.mark.parametrize("value", [1, 2.0, 2.5, "2", None, True, np.True_, math.nan, [2]])
def test_what_is_no_whole_number_is_refused(value):
    """Neither is 2.0, nor truth, nor what is too small."""
    with pytest.raises(InputError, match=r"^x is .*; give a whole number of at least 2$"):
        at_least("x", value, 2)


def test_lists_of_counts_become_tuples_of_ints():
    """Lists as JSON gives them, and arrays."""
    assert check_counts("x", [1, 2]) == (1, 2)
    assert check_counts("x", np.array([3])) == (3,)


@pytest.mark.parametrize("values", [3, "3", None, (), [2, 0], [2, 2.5], [True], ["2"], {}])
def test_what_is_no_list_of_counts_is_refused(values):
    """One number alone is no list, and one wrong number spoils it."""
    with pytest.raises(InputError, match=r"^x is .*; give a list of one or more whole numbers"):
        check_counts("x", values)


# All parameters of all built-in parts --------------------------------------------------------------

VALUES = (2.5, True, "3", None, math.nan, -1, np.int64(3), 0)
OF_A_BACKBONE = ("backbone", "layer", "layers", "weights")  # `Backbone` judges them
MEANT = {  # of VALUES, by the type of a parameter's default: what may be meant by it
    int: (np.int64(3),),
    float: (2.5, -1, np.int64(3), 0),
    bool: (True,),
    str: ("3",),
}
OPTIONAL = {"bottleneck": int, "warm_up": int, "kernels": tuple}  # whose default is None


def parameters():
    """Every parameter of every built-in part, with its default."""
    for kind in KINDS:
        for offer in offers(kind):
            for name, parameter in inspect.signature(offer.load()).parameters.items():
                if parameter.default is not inspect.Parameter.empty and name not in OF_A_BACKBONE:
                    yield kind, offer.name, name, parameter.default


def built(kind, part, params):
    """Build a part as detectors do; without weights, since none of them is looked at."""
    if kind != "model":
        return build(kind, part, params)[0]
    model = find(kind, part).load()
    if "weights" in inspect.signature(model).parameters:
        params = params | {"weights": None}
    return build_network(model, (16, 16, 1), params)


@pytest.mark.filterwarnings("ignore:the weights of .* are random")
@pytest.mark.parametrize(
    ("kind", "part", "name", "default"),
    [pytest.param(*one, id="-".join(one[:3])) for one in parameters()],
)
def test_a_parameter_is_taken_as_it_is_meant_or_refused_by_name(kind, part, name, default):
    """No bool, text or NaN passes for a number and no fraction for a whole one; the error names the parameter."""
    meant = MEANT.get(OPTIONAL.get(name, type(default)), ())
    taken, refused = [], []
    for value in VALUES:
        try:
            built(kind, part, {name: value})
            taken.append(value)
        except InputError as error:
            refused.append(str(error))
    for message in refused:
        # What build itself says of a TypeError is for arguments that do not exist.
        assert name in message
        assert "does not take" not in message
    for value in taken:
        assert value is default or any(
            value is one or (type(value) is type(one) and value == one) for one in meant
        ), f"{name}={value!r} was taken"
