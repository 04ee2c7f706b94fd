"""Straight roads: along the streets of a grid, with turns at crossings."""

from __future__ import annotations

import math

from offload_gym.compilation import kernel
from offload_gym.streams.movers import draw, within

EAST, NORTH, WEST, SOUTH = range(4)


@kernel
def _step(heading):
    """Columns and rows to the next crossing."""
    return (1 if heading == EAST else -1 if heading == WEST else 0), (
        1 if heading == NORTH else -1 if heading == SOUTH else 0
    )


@kernel
def _head_for(numbers, mover):
    """Set the coordinates of the next crossing."""
    mover.to_x_m = numbers.left_m + mover.column * numbers.block_m
    mover.to_y_m = numbers.bottom_m + mover.row * numbers.block_m


@kernel
def begin_on_road(numbers, mover):
    """Anywhere on the streets, in either direction."""
    along_x = numbers.columns * (numbers.rows + 1)
    piece = int(draw(mover) * (along_x + numbers.rows * (numbers.columns + 1)))
    forward, share = draw(mover) < 0.5, draw(mover)
    if piece < along_x:
        mover.heading, column, row = (EAST if forward else WEST), piece % numbers.columns, piece // numbers.columns
        mover.column, mover.row = column + (1 if forward else 0), row
        mover.x_m = numbers.left_m + (column + share) * numbers.block_m
        mover.y_m = numbers.bottom_m + row * numbers.block_m
    else:
        column, row = (piece - along_x) // numbers.rows, (piece - along_x) % numbers.rows
        mover.heading = NORTH if forward else SOUTH
        mover.column, mover.row = column, row + (1 if forward else 0)
        mover.x_m = numbers.left_m + column * numbers.block_m
        mover.y_m = numbers.bottom_m + (row + share) * numbers.block_m
    _head_for(numbers, mover)
    mover.m_per_s = within(numbers.least_m_per_s, numbers.most_m_per_s, draw(mover))


@kernel
def _is_street(numbers, mover, heading):
    """Whether a street goes on from the crossing ahead."""
    x, y = _step(heading)
    return 0 <= mover.column + x <= numbers.columns and 0 <= mover.row + y <= numbers.rows


@kernel
def _turn(numbers, mover):
    """Choose the street behind the crossing that was reached.

    Straight on with probability 1/2, left and right with 1/4 each (Bai, Sadagopan and Helmy, "IMPORTANT", INFOCOM 2003,
    and the urban grid of 3GPP TR 37.885). Where one of the three is missing the other two are equally likely. All
    directions of all streets are met equally often then.
    """
    left, right = (mover.heading + 1) % 4, (mover.heading + 3) % 4
    u, straight = draw(mover), _is_street(numbers, mover, mover.heading)
    if not straight or u >= 0.5:
        share = 2.0 * u - 1.0 if straight else u
        is_left, is_right = _is_street(numbers, mover, left), _is_street(numbers, mover, right)
        mover.heading = left if is_left and (not is_right or share < 0.5) else right
    x, y = _step(mover.heading)
    mover.column, mover.row = mover.column + x, mover.row + y
    _head_for(numbers, mover)


@kernel
def move_on_road(numbers, mover, seconds):
    """Let a mover go on for a time."""
    reach_m = mover.m_per_s * seconds
    while True:
        away_m = abs(mover.to_x_m - mover.x_m) + abs(mover.to_y_m - mover.y_m)
        if reach_m < away_m:
            x, y = _step(mover.heading)
            mover.x_m, mover.y_m = mover.x_m + x * reach_m, mover.y_m + y * reach_m
            return
        reach_m -= away_m
        mover.x_m, mover.y_m = mover.to_x_m, mover.to_y_m
        _turn(numbers, mover)


@kernel
def resume_on_road(numbers, mover, before_m, slot_s):
    """Go on along the street, in the direction of the last slot; where none was seen, in either."""
    x_m, y_m = mover.x_m - before_m[0], mover.y_m - before_m[1]
    column, row = (mover.x_m - numbers.left_m) / numbers.block_m, (mover.y_m - numbers.bottom_m) / numbers.block_m
    off_x, off_y = abs(column - round(column)), abs(row - round(row))
    # The coordinate that is not on a line of the grid is the one that changes; on a crossing, the one that did.
    along_x = off_x > off_y if max(off_x, off_y) > 1e-9 else abs(x_m) > abs(y_m)
    forward = draw(mover) < 0.5
    if slot_s > 0.0:
        forward = (x_m if along_x else y_m) > 0.0
        mover.m_per_s = (abs(x_m) + abs(y_m)) / slot_s
    else:
        mover.m_per_s = within(numbers.least_m_per_s, numbers.most_m_per_s, draw(mover))
    mover.m_per_s = min(max(mover.m_per_s, numbers.least_m_per_s), numbers.most_m_per_s)
    if along_x:
        mover.heading, mover.row = (EAST if forward else WEST), round(row)
        mover.column = int(math.ceil(column) if forward else math.floor(column))
    else:
        mover.heading, mover.column = (NORTH if forward else SOUTH), round(column)
        mover.row = int(math.ceil(row) if forward else math.floor(row))
    mover.column = min(max(mover.column, 0), numbers.columns)
    mover.row = min(max(mover.row, 0), numbers.rows)
    _head_for(numbers, mover)
