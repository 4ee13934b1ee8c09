import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_anomaly.errors import InputError
from recon_anomaly.terms import (
    check_given,
    check_patterns,
    check_terms,
    check_weights,
    numeral,
    proper_subsets,
    weights_by_term,
)


def test_weights_that_are_not_given_are_one():
    """Each term of the model has a weight, in the model's order, as a float."""
    weights = weights_by_term({"c": 0}, ("b", "a", "c"))
    assert list(weights.items()) == [("b", 1.0), ("a", 1.0), ("c", 0.0)]
    assert {type(weight) for weight in weights.values()} == {float}


def test_names_that_are_no_terms_are_listed():
    """The error names them, sorted, and the model's own terms in their order."""
    with pytest.raises(InputError, match=r"^these are: a, z; the model's terms are: kl, error$"):
        check_terms("these are:", ["z", "kl", "a"], ("kl", "error"))
    check_terms("these are:", ["kl", "kl"], ("kl", "error"))


@settings(deadline=None)
@given(st.integers(0, 7))
def test_proper_subsets_are_all_of_them_by_size(count):
    """Read as binary numbers, they are those from 1 to the last but one, each once, small ones first."""
    terms = [chr(ord("a") + k) for k in range(count)]
    subsets = proper_subsets(terms)
    numbers = [sum(2 ** terms.index(term) for term in subset) for subset in subsets]
    assert sorted(numbers) == list(range(1, 2**count - 1))
    assert [len(subset) for subset in subsets] == sorted(map(len, subsets))
    for size in range(1, count):
        same = [[terms.index(term) for term in s] for s in subsets if len(s) == size]
        assert same == sorted(same)


def test_numerals_up_to_two_thousand():
    """Digit by digit from the tables that are taught at school."""
    ones = ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"]
    tens = ["", "X", "XX", "XXX", "XL", "L", "LX", "LXX", "LXXX", "XC"]
    hundreds = ["", "C", "CC", "CCC", "CD", "D", "DC", "DCC", "DCCC", "CM"]
    for number in range(1, 2000):
        thousand, rest = divmod(number, 1000)
        written = hundreds[rest // 100] + tens[rest // 10 % 10] + ones[rest % 10]
        assert numeral(number) == "M" * thousand + written


def test_patterns_become_tuples_and_keep_their_order():
    """Lists from JSON and one-way iterators are read once and come back as tuples."""
    assert check_patterns(iter([["b", "a"], iter("c")])) == (("b", "a"), ("c",))


@pytest.mark.parametrize(
    ("patterns", "named"),
    [
        ([], "nothing in it"),
        ([["kl"], []], "nothing in it"),
        ("kl", "'kl'; give one or more lists"),
        (["kl"], "the pattern 'kl' is no list"),
        (3, "patterns is 3"),
        ([3], "the pattern 3"),
        ([["kl", "error", "kl"]], "names a term twice"),
        ([["kl", 3]], "no name of a term"),
        ([[["kl"]]], "no name of a term"),
    ],
)
def test_what_is_no_pattern_is_refused(patterns, named):
    """The message says what was got and shows what a list of patterns looks like."""
    with pytest.raises(InputError, match=named) as caught:
        check_patterns(patterns)
    assert '[["kl"], ["reconstruction"]]' in str(caught.value)


def test_weights_are_copied_as_floats():
    """What is done to the caller's mapping later does not reach them; none given are none."""
    given = {"kl": 4, "error": np.float32(0)}
    checked = check_weights(given)
    given["kl"] = -1
    assert checked == {"kl": 4.0, "error": 0.0}
    assert {type(weight) for weight in checked.values()} == {float}
    assert check_weights(None) == {}


@pytest.mark.parametrize(
    ("weights", "named"),
    [
        (["kl"], r"weights is \['kl'\]"),
        ("kl", "weights is 'kl'"),
        ({1: 2.0}, "weights is {1: 2.0}"),
        ({"kl": "a"}, "the weight of kl is 'a'"),
        ({"kl": -1e-9}, "the weight of kl is -1e-09"),
        ({"error": 1, "kl": math.nan}, "the weight of kl is nan"),
    ],
)
def test_what_are_no_weights_is_refused(weights, named):
    """The message says what was got and that weights are finite and from 0 on."""
    with pytest.raises(InputError, match=f"^{named}; give .*from 0 on"):
        check_weights(weights)


@pytest.mark.parametrize("given", [{}, None, {"kl": 1}, {"kl": -1, "error": 1}, [1, 1]])
def test_what_a_schedule_may_not_give_is_refused(given):
    """One weight for each term, none negative, is all that may be given."""
    check_given({"kl": 0, "error": 2.0}, ("error", "kl"))
    with pytest.raises(InputError, match=r"gave the weights .* each of: error, kl"):
        check_given(given, ("error", "kl"))
