"""How often, and in what pieces, what was passed over is looked at."""

from datetime import timedelta
from itertools import pairwise

import pytest

from django_jobflow.engines.postgresql_rounds import FIRST, SHARE, Rounds
from tests.engines.contract import NOON, SECOND

LONGEST = 0.1
CHEAP, FAIR, LONG = 0.01, 0.07, 0.2  # seconds that a look takes


@pytest.fixture
def rounds():
    return Rounds(LONGEST)


def look(rounds, seconds):
    """Take the next look, which takes so many seconds; return the piece that was looked at."""
    piece = rounds.piece(NOON)
    rounds.looked(piece, 100.0, 100.0 + seconds)
    return piece


def make_round(rounds, seconds):
    """Look until the round is over; return its pieces."""
    pieces = [look(rounds, seconds)]
    while not pieces[-1].is_last:
        pieces.append(look(rounds, seconds))
    return pieces


def test_cheap_looks_begin_at_the_beginning(rounds):
    assert [None, None] == [look(rounds, CHEAP) for _ in range(2)]
    assert not rounds.is_slow


def test_a_look_takes_its_share_of_the_time(rounds):
    assert 0 == rounds.seconds_left(0.0)
    look(rounds, CHEAP)

    ended = 100 + CHEAP
    assert pytest.approx(SHARE * CHEAP) == rounds.seconds_left(ended)
    assert 0 == rounds.seconds_left(ended + SHARE * CHEAP + 1)


def test_a_long_look_is_followed_by_pieces(rounds):
    look(rounds, LONG)

    assert rounds.is_slow
    assert (NOON - FIRST, NOON) == look(rounds, CHEAP)


def test_pieces_follow_upon_one_another_to_the_beginning(rounds):
    look(rounds, LONG)
    pieces = make_round(rounds, CHEAP)

    assert NOON == pieces[0].until
    assert all(later.until == earlier.after for earlier, later in pairwise(pieces))
    assert 50 > len(pieces)


def test_moments_need_no_time_zone(rounds):
    look(rounds, LONG)
    naive = NOON.replace(tzinfo=None)
    piece = rounds.piece(naive)
    while not piece.is_last:
        rounds.looked(piece, 0.0, CHEAP)
        piece = rounds.piece(naive)

    assert piece.after.tzinfo is None


def test_cheap_pieces_grow_and_long_ones_shrink(rounds):
    look(rounds, LONG)
    widths = [
        piece.until - piece.after
        for piece in [look(rounds, seconds) for seconds in (CHEAP, FAIR, LONG, LONG, CHEAP)]
    ]

    assert [SECOND * part for part in (1, 4, 4, 2, 1)] == widths


def test_no_piece_is_too_narrow_to_get_ahead(rounds):
    for _ in range(100):
        piece = look(rounds, LONG)

    assert piece.until - piece.after == timedelta(milliseconds=1)


def test_looks_begin_at_the_beginning_again_after_a_cheap_round(rounds):
    look(rounds, LONG)
    make_round(rounds, CHEAP)

    assert not rounds.is_slow
    assert look(rounds, CHEAP) is None


def test_what_any_look_takes_is_not_what_it_costs(rounds):
    for _ in range(20):
        rounds.looked_past(1.0)
    look(rounds, 1.0 + CHEAP)

    assert not rounds.is_slow
    assert pytest.approx(SHARE * CHEAP, abs=0.05) == rounds.seconds_left(101.0 + CHEAP)


def test_far_servers_are_looked_through_as_well(rounds):
    look(rounds, 1.0)
    assert rounds.is_slow
    rounds.looked_past(1.0)
    make_round(rounds, 1.0)

    assert not rounds.is_slow


def test_another_round_follows_upon_one_that_was_not_cheap(rounds):
    look(rounds, LONG)
    look(rounds, LONG)
    make_round(rounds, CHEAP)

    assert rounds.is_slow
    assert NOON == look(rounds, CHEAP).until


def test_a_round_goes_on_where_it_was_though_the_end_has_moved(rounds):
    look(rounds, LONG)
    former = look(rounds, CHEAP)
    piece = rounds.piece(NOON + timedelta(hours=1))

    assert former.after == piece.until
