import pytest

from offload_gym.sheets import number_of, rows_of, separator_of


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("a,b\n", ","), ("a;b\n", ";"), ("a\tb\n", "\t"), ("\n\na;b,c;d\n", ";"), ("a,b;c,d\n", ","),
        ("0,8;1,5;2,5\n", ";"), ("0,8\t1,5\n", "\t"), ("1,2\n", ","), ("a\n", ";"), ("", ";"),
    ],
)  # fmt: skip
def test_separator_of_the_first_row(text, separator):
    assert separator_of(text) == separator


def test_rows_have_their_numbers_and_cells_without_spaces():
    assert rows_of("a, b\n\n1 ,2\n", "x") == [(1, ["a", "b"]), (2, []), (3, ["1", "2"])]
    assert rows_of("sep=\t\na,b\t1\n", "x") == [(2, ["a,b", "1"])]
    with pytest.raises(ValueError, match="x is not CSV"):
        rows_of('a,"b', "x")


def test_numbers():
    assert (number_of("1.5"), number_of("1,5", decimal_comma=True), number_of("1e3")) == (1.5, 1.5, 1000)
    for cell, comma in (("1,5", False), ("1.000,5", True), ("1,000,000", True), ("1_000", False), ("", True)):
        with pytest.raises(ValueError):  # noqa: PT011
            number_of(cell, comma)
