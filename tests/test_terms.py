import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_anomaly.errors import InputError
from recon_anomaly.terms import (
    check_patterns,
    check_terms,
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
    ],
)
def test_what_is_no_pattern_is_refused(patterns, named):
    """The message says what was got and shows what a list of patterns looks like."""
    with pytest.raises(InputError, match=named) as caught:
        check_patterns(patterns)
    assert '[["kl"], ["reconstruction"]]' in str(caught.value)
