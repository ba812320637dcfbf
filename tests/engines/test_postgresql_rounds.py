"""How often, and in what pieces, what was passed over is looked at."""

from datetime import timedelta
from itertools import pairwise

import pytest

from django_jobflow.engines.postgresql_rounds import ACCIDENTS, FIRST, NEWEST, PAUSE, SHARE, Rounds
from tests.engines.contract import NOON, SECOND

LONGEST = 0.1
CHEAP, FAIR, LONG, ENDLESS = 0.01, 0.07, 0.2, 2.0  # seconds that a look takes


@pytest.fixture
def rounds():
    return Rounds(LONGEST)


def look(rounds, seconds):
    """Take the next look, which takes so many seconds; return the piece that was looked at."""
    piece = rounds.piece(NOON)
    rounds.looked(piece, 100.0, 100.0 + seconds)
    return piece


def go_on(rounds, seconds):
    """Look on until a piece of the round was looked at; return it."""
    assert look(rounds, CHEAP).is_newest
    return look(rounds, seconds)


def make_round(rounds, seconds):
    """Look until the round is over; return its pieces."""
    pieces = [go_on(rounds, seconds)]
    while not pieces[-1].is_last:
        pieces.append(go_on(rounds, seconds))
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


def test_one_look_that_takes_long_is_an_accident(rounds):
    for seconds in (LONG, LONG, CHEAP, LONG, LONG):
        look(rounds, seconds)
        assert not rounds.is_slow

    look(rounds, LONG)
    assert rounds.is_slow


def test_a_look_that_takes_far_too_long_is_followed_by_pieces(rounds):
    look(rounds, ENDLESS)

    assert rounds.is_slow
    assert (NOON - FIRST, NOON) == go_on(rounds, CHEAP)[:2]


def test_the_newest_pieces_leave_nothing_out(rounds):
    look(rounds, ENDLESS)
    assert (NOON - FIRST, NOON, True) == look(rounds, CHEAP)
    look(rounds, CHEAP)
    later = NOON + 30 * SECOND

    assert (NOON - FIRST, later, True) == rounds.piece(later)


def test_the_newest_piece_is_no_round_of_its_own(rounds):
    look(rounds, ENDLESS)
    look(rounds, CHEAP)
    look(rounds, CHEAP)
    later = NOON + timedelta(hours=5)

    assert (later - NEWEST - FIRST, later, True) == rounds.piece(later)


def test_a_piece_that_has_more_in_it_is_looked_at_again(rounds):
    look(rounds, ENDLESS)
    look(rounds, CHEAP)
    rounds.looked_past(CHEAP)
    piece = rounds.piece(NOON)

    rounds.filled(200.0)

    assert rounds.is_due(200.0)
    assert piece == rounds.piece(NOON)


def test_pieces_follow_upon_one_another_to_the_beginning(rounds):
    look(rounds, ENDLESS)
    pieces = make_round(rounds, CHEAP)

    assert NOON == pieces[0].until
    assert all(later.until == earlier.after for earlier, later in pairwise(pieces))
    assert 50 > len(pieces)


def test_cheap_pieces_grow_and_long_ones_shrink(rounds):
    look(rounds, ENDLESS)
    widths = [
        piece.until - piece.after
        for piece in [go_on(rounds, seconds) for seconds in (CHEAP, FAIR, LONG, LONG, CHEAP)]
    ]

    assert [SECOND * part for part in (1, 8, 8, 4, 2)] == widths


def test_no_piece_is_too_narrow_to_get_ahead(rounds):
    look(rounds, ENDLESS)
    for _ in range(100):
        piece = go_on(rounds, LONG)

    assert piece.until - piece.after == timedelta(milliseconds=1)


def test_looks_begin_at_the_beginning_again_after_a_cheap_round(rounds):
    look(rounds, ENDLESS)
    make_round(rounds, CHEAP)

    assert not rounds.is_slow
    assert look(rounds, CHEAP) is None


def test_what_any_look_takes_is_not_what_it_costs(rounds):
    for _ in range(20):
        rounds.looked_past(1.0)
    look(rounds, 1.0 + CHEAP)

    assert not rounds.is_slow
    assert pytest.approx(SHARE * CHEAP, abs=0.05) == rounds.seconds_left(101.0 + CHEAP)


def test_what_took_long_once_is_forgotten_with_the_next_that_did_not(rounds):
    rounds.looked_past(1.0)
    look(rounds, CHEAP)
    look(rounds, CHEAP + FAIR)

    assert pytest.approx(SHARE * FAIR) == rounds.seconds_left(100.0 + CHEAP + FAIR)


def test_far_servers_are_looked_through_as_well(rounds):
    """Each look takes a second, whatever it looks at."""
    began, looks = 100.0, 0
    while looks < 100:
        if rounds.is_due(began):
            rounds.looked(rounds.piece(NOON), began, began + 1.0)
        else:
            rounds.looked_past(1.0)
        began, looks = began + 10.0, looks + 1

    assert not rounds.is_slow


def test_between_two_pieces_one_look_is_at_none(rounds):
    look(rounds, ENDLESS)
    later = 1000.0

    assert not rounds.is_due(later)
    rounds.looked_past(CHEAP)
    assert rounds.is_due(later)
    look(rounds, CHEAP)
    assert not rounds.is_due(later)


def test_pieces_that_cost_nothing_stand_apart(rounds):
    look(rounds, ENDLESS)
    for _ in range(9):
        rounds.looked_past(CHEAP)
    look(rounds, CHEAP)

    assert PAUSE == rounds.seconds_left(100.0 + CHEAP)


@pytest.mark.parametrize(("accidents", "is_slow"), [(ACCIDENTS, False), (ACCIDENTS + 1, True)])
def test_a_cheap_round_may_have_accidents(rounds, accidents, is_slow):
    look(rounds, ENDLESS)
    for _ in range(accidents):
        go_on(rounds, LONG)
    make_round(rounds, CHEAP)

    assert is_slow == rounds.is_slow


def test_another_round_follows_upon_one_that_was_not_cheap(rounds):
    look(rounds, ENDLESS)
    for _ in range(ACCIDENTS + 1):
        go_on(rounds, LONG)
    make_round(rounds, CHEAP)

    assert rounds.is_slow
    assert NOON == go_on(rounds, CHEAP).until


def test_a_round_goes_on_where_it_was_though_the_end_has_moved(rounds):
    look(rounds, ENDLESS)
    former = go_on(rounds, CHEAP)
    later = NOON + timedelta(hours=1)
    rounds.looked(rounds.piece(later), 0.0, CHEAP)

    assert former.after == rounds.piece(later).until
