"""The allocator's bookkeeping against figures worked out by hand, and against a slow model written another way."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexdan.memory.allocator import CachingAllocator, DeviceFullError, Workspaces, fits, needed, replay
from flexdan.memory.trace import CONVOLUTION

KIB, MIB = 2**10, 2**20


@pytest.mark.parametrize(
    ("nbytes", "reserved"),
    [
        (1, 2 * MIB),
        (MIB, 2 * MIB),  # the largest of the small ones
        (MIB + 1, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB - 511, 10 * MIB),  # rounded up it is large
        (10 * MIB, 10 * MIB),
        (10 * MIB + 1, 12 * MIB),
        (12 * MIB, 12 * MIB),
        (100 * MIB + 1, 102 * MIB),
    ],
)
def test_what_a_first_request_reserves(nbytes, reserved):
    assert replay([1], [nbytes]) == reserved


@pytest.mark.parametrize(
    ("sizes", "reserved"),
    [
        ([512] * 4096, 2 * MIB),
        ([512] * 4097, 4 * MIB),
        ([1] * 4096, 2 * MIB),  # one byte takes 512
        ([513] * 2048, 2 * MIB),  # and 513 take 1024
        ([513] * 2049, 4 * MIB),
        ([MIB, MIB], 2 * MIB),
        ([MIB, MIB, 1], 4 * MIB),
        ([2 * MIB] * 10, 20 * MIB),
        ([2 * MIB] * 11, 40 * MIB),
        ([9 * MIB, 9 * MIB, 2 * MIB], 20 * MIB),
        ([9 * MIB, 9 * MIB, 2 * MIB + 1], 40 * MIB),
        ([9 * MIB, 9 * MIB, MIB], 22 * MIB),  # small ones never come from segments of large ones
        ([9 * MIB, 10 * MIB], 20 * MIB),  # what is left of 20 MiB serves a large one too: 11 MiB
        ([9 * MIB, 11 * MIB + 1], 32 * MIB),
    ],
)
def test_what_fits_into_one_segment(sizes, reserved):
    assert replay(range(1, len(sizes) + 1), sizes) == reserved


@pytest.mark.parametrize(
    ("first", "second", "reserved"),
    [
        (12 * MIB, 11 * MIB - 512, 12 * MIB),  # 1 MiB and 512 bytes are left and split off: a third one finds them
        (12 * MIB, 11 * MIB, 32 * MIB),  # 1 MiB is left and stays with the block
    ],
)
def test_the_large_pool_splits_off_more_than_one_mib(first, second, reserved):
    assert replay([1, -1, 2, 3], [first, second, MIB + 512]) == reserved


def test_the_small_pool_splits_off_512_bytes():
    assert replay([1, 2, 3], [MIB, MIB - 512, 512]) == 2 * MIB
    assert replay([1, 2, 3], [MIB, MIB - 511, 512]) == 4 * MIB


def test_the_smallest_block_that_is_enough_is_taken():
    sizes = [30 * MIB, 20 * MIB, 12 * MIB, 19 * MIB, 30 * MIB]
    assert replay([1, 2, 3, -1, -2, -3, 4, 5], sizes) == 62 * MIB  # 19 MiB take those of 20, and 30 are still there
    assert replay([1, 3, -1, -3, 4, 5], sizes) == 72 * MIB  # 19 MiB take those of 30, and 30 are asked for anew


def test_of_equal_blocks_the_lowest_is_taken():
    allocator = CachingAllocator()
    for number in (1, 2, 3):
        allocator.allocate(number, 10 * MIB)
    for number in (2, 3, 1):
        allocator.release(number)
    allocator.allocate(4, 10 * MIB)
    assert allocator._used[4].address == (1, 0)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (1, 3, 2), (2, 1, 3)])
def test_free_neighbours_are_joined(order):
    sizes = [8 * MIB, 6 * MIB, 6 * MIB, 20 * MIB]
    assert replay([1, 2, 3, *(-number for number in order), 4], sizes) == 20 * MIB


def test_neighbours_in_use_and_other_segments_are_not_joined():
    sizes = [6 * MIB, 6 * MIB, 8 * MIB, 12 * MIB]
    assert replay([1, 2, 3, -1, -3, 4], sizes) == 32 * MIB  # 6 and 8 MiB are free around 6 that are not
    assert replay([1, 2, -1, -2, 3], [10 * MIB, 10 * MIB, 20 * MIB]) == 40 * MIB


def test_whole_free_segments_are_given_back_before_a_request_fails():
    events, sizes = [1, -1, 2], [40 * MIB, 60 * MIB]
    assert replay(events, sizes) == 100 * MIB
    assert replay(events, sizes, 100 * MIB) == 100 * MIB
    assert replay(events, sizes, 100 * MIB - 1) == 60 * MIB  # the first 40 are given back
    assert fits(events, sizes, 60 * MIB)
    assert not fits(events, sizes, 60 * MIB - 1)
    assert needed(events, sizes, precision=1) == 60 * MIB


def test_segments_of_both_pools_are_given_back():
    assert replay([1, -1, 2, -2, 3], [MIB, 20 * MIB, 22 * MIB], 22 * MIB) == 22 * MIB


def test_what_is_given_back_is_asked_for_again():
    events, sizes = [1, -1, 2, -2, 3], [40 * MIB, 60 * MIB, 40 * MIB]
    allocator = CachingAllocator(capacity=60 * MIB)
    for event in events:
        allocator.allocate(event, sizes[event - 1]) if event > 0 else allocator.release(-event)
    assert (allocator.reserved, allocator.peak_reserved) == (60 * MIB, 60 * MIB)  # 40 of the 60 serve


def test_fragments_fail_though_enough_bytes_are_free():
    """Ten of 2 MiB fill a segment; every second one goes away: 10 MiB are free, and 4 MiB are not to be had."""
    events = [*range(1, 11), *range(-1, -11, -2), 11]
    sizes = [2 * MIB] * 10 + [4 * MIB]
    assert not fits(events, sizes, 20 * MIB)
    assert not fits(events, sizes, 40 * MIB - 1)
    assert fits(events, sizes, 40 * MIB)
    with pytest.raises(DeviceFullError, match="20971520 bytes asked for, 1048576 left"):
        replay(events, sizes, 21 * MIB)
    assert fits([*events[:-1], -2, 11], sizes, 20 * MIB)  # one more and its neighbours go away: 6 MiB in one piece


def test_needed_is_the_least_that_fits():
    events, sizes = [1, 2, -1, 3], [30 * MIB, 50 * MIB, 44 * MIB]
    assert replay(events, sizes) == 124 * MIB
    assert needed(events, sizes, precision=1) == 94 * MIB  # 50 and 44
    assert fits(events, sizes, 94 * MIB)
    assert not fits(events, sizes, 94 * MIB - 1)
    coarse = needed(events, sizes)
    assert 94 * MIB <= coarse < 102 * MIB
    assert fits(events, sizes, coarse)


@pytest.mark.parametrize("guess", [0, 50 * MIB, 94 * MIB - 1, 94 * MIB, 97 * MIB, 124 * MIB, 200 * MIB])
def test_needed_is_at_most_the_guess_exactly_where_the_guess_fits(guess):
    events, sizes = [1, 2, -1, 3], [30 * MIB, 50 * MIB, 44 * MIB]
    figure = needed(events, sizes, first_guess=guess)
    assert (figure <= guess) == (guess >= 94 * MIB)
    assert fits(events, sizes, figure)


def test_nothing_needs_nothing():
    assert needed([], []) == replay([], []) == 0


def test_the_lasting_workspace_comes_first_and_stays():
    lasting = Workspaces(lasting=8_519_680)  # 8.125 MiB of a segment of 20: 11.875 are left
    assert replay([], [], workspaces=lasting) == 20 * MIB
    assert replay([1], [11 * MIB + 896 * KIB], workspaces=lasting) == 20 * MIB
    assert replay([1], [11 * MIB + 896 * KIB + 1], workspaces=lasting) == 32 * MIB
    assert not fits([1], [12 * MIB], 32 * MIB - 1, lasting)  # is never given back
    assert needed([1], [12 * MIB], lasting, precision=1) == 32 * MIB


def test_the_workspace_of_a_convolution_is_taken_for_its_time_and_only_where_there_is_room():
    events, sizes = [1, CONVOLUTION, 2], [10 * MIB, 30 * MIB]
    convolution = Workspaces(convolution=40 * MIB)
    assert replay(events, sizes) == 40 * MIB
    assert replay(events, sizes, workspaces=convolution) == 50 * MIB  # 30 MiB lie where the workspace was
    assert replay([1, CONVOLUTION, CONVOLUTION], sizes, workspaces=convolution) == 50 * MIB
    assert replay(events, sizes, 50 * MIB - 1, convolution) == 40 * MIB  # does without
    assert needed(events, sizes, convolution, precision=1) == 40 * MIB


def test_a_workspace_that_cannot_be_had_costs_what_was_kept():
    """The attempt gives 20 MiB back, in which a request of 12 MiB would have found room."""
    sizes = [10 * MIB, 20 * MIB, 12 * MIB, 12 * MIB]
    events, convolution = [1, 2, -2, CONVOLUTION, 3, 4], Workspaces(convolution=50 * MIB)
    assert replay(events, sizes, 42 * MIB) == 42 * MIB  # 10 + 20 + 12
    assert replay(events, sizes, 42 * MIB, convolution) == 34 * MIB  # 10 + 12 + 12


class NaiveAllocator:
    """The rules once more: segments are lists of pieces (size, owner), and everything is looked for from the start.

    Owner 0 is nobody. A segment that was given back leaves an empty list, so that the others stay where they are.
    """

    def __init__(self, capacity: float):
        self.capacity = capacity
        self.segments: list[tuple[str, list[tuple[int, int]]]] = []
        self.most = 0

    def reserved(self) -> int:
        return sum(size for _, pieces in self.segments for size, _ in pieces)

    def take(self, owner: int, nbytes: int) -> bool:
        size = nbytes
        while size % 512:
            size += 1
        pool = "small" if size <= 1_048_576 else "large"
        fitting = [
            (length, row, column)
            for row, (kind, pieces) in enumerate(self.segments)
            for column, (length, user) in enumerate(pieces)
            if kind == pool and not user and length >= size
        ]
        if not fitting:
            new = 2_097_152 if pool == "small" else 20_971_520
            if size >= 10_485_760:
                new = size
                while new % 2_097_152:
                    new += 512
            if self.reserved() + new > self.capacity:
                self.segments = [(kind, [] if self._unused(pieces) else pieces) for kind, pieces in self.segments]
            if self.reserved() + new > self.capacity:
                return False
            self.segments.append((pool, [(new, 0)]))
            self.most = max(self.most, self.reserved())
            fitting = [(new, len(self.segments) - 1, 0)]
        length, row, column = min(fitting)
        rest = length - size
        whole = rest == 0 or (pool == "large" and rest <= 1_048_576)
        self.segments[row][1][column : column + 1] = [(length, owner)] if whole else [(size, owner), (rest, 0)]
        return True

    def give(self, owner: int) -> None:
        self.segments = [
            (kind, self._joined([(size, 0 if user == owner else user) for size, user in pieces]))
            for kind, pieces in self.segments
        ]

    @staticmethod
    def _unused(pieces: list[tuple[int, int]]) -> bool:
        return all(not user for _, user in pieces)

    @staticmethod
    def _joined(pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
        joined: list[tuple[int, int]] = []
        for size, user in pieces:
            if joined and not user and not joined[-1][1]:
                size += joined.pop()[0]
            joined.append((size, user))
        return joined


SIZES = st.one_of(
    st.integers(1, 4 * KIB),
    st.integers(1, MIB),
    st.integers(MIB - 1024, MIB + 1024),
    st.integers(1, 24).map(lambda number: number * MIB),
    st.integers(10 * MIB - 1024, 10 * MIB + 1024),
    st.integers(MIB, 50 * MIB),
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Draw events and sizes; what is alive goes away in any order, and some of it stays."""
    sizes = draw(st.lists(SIZES, min_size=1, max_size=40))
    events, alive = [], []
    for number in range(1, len(sizes) + 1):
        events.append(number)
        alive.append(number)
        for _ in range(draw(st.integers(0, min(2, len(alive))))):
            events.append(-alive.pop(draw(st.integers(0, len(alive) - 1))))
    return events, sizes


@settings(deadline=None, max_examples=200)
@given(streams(), st.one_of(st.none(), st.integers(20, 300).map(lambda number: number * MIB)))
def test_the_naive_model_agrees(stream, capacity):
    events, sizes = stream
    ours, naive = CachingAllocator(capacity), NaiveAllocator(float("inf") if capacity is None else capacity)
    for event in events:
        if event < 0:
            ours.release(-event)
            naive.give(-event)
        else:
            served = naive.take(event, sizes[event - 1])
            if not served:
                with pytest.raises(DeviceFullError):
                    ours.allocate(event, sizes[event - 1])
                break
            ours.allocate(event, sizes[event - 1])
        assert ours.reserved == naive.reserved()
        assert ours.peak_reserved == naive.most
        where = {
            user: (row + 1, sum(size for size, _ in pieces[:column]), pieces[column][0])
            for row, (_, pieces) in enumerate(naive.segments)
            for column, (_, user) in enumerate(pieces)
            if user
        }
        assert {number: (*block.address, block.size) for number, block in ours._used.items()} == where


@settings(deadline=None, max_examples=200)
@given(streams(), st.one_of(st.none(), st.integers(20, 300).map(lambda number: number * MIB)))
def test_blocks_never_overlap_and_what_is_live_is_reserved(stream, capacity):
    events, sizes = stream
    allocator = CachingAllocator(capacity)
    live: set[int] = set()
    for event in events:
        if event < 0:
            allocator.release(-event)
            live.remove(-event)
        else:
            try:
                allocator.allocate(event, sizes[event - 1])
            except DeviceFullError:
                break
            live.add(event)
        assert set(allocator._used) == live
        assert all(block.size >= sizes[number - 1] for number, block in allocator._used.items())
        free = [block for blocks in allocator._free.values() for block in blocks]
        blocks = sorted([*allocator._used.values(), *free], key=lambda block: block.address)
        assert sum(block.size for block in blocks) == allocator.reserved  # nothing is lost
        for before, after in pairwise(blocks):
            if before.address[0] == after.address[0]:
                assert before.address[1] + before.size == after.address[1]  # no overlap, no gap
                assert not (before.free and after.free)
                assert before.after is after
                assert after.before is before
        assert sum(sizes[number - 1] for number in live) <= allocator.reserved <= allocator.peak_reserved
        assert capacity is None or allocator.reserved <= capacity


@settings(deadline=None, max_examples=100)
@given(streams())
def test_what_is_needed_fits_and_lies_between_live_and_reserved(stream):
    events, sizes = stream
    figure = needed(events, sizes, precision=MIB)
    live = most = 0
    for event in events:
        live += sizes[event - 1] if event > 0 else -sizes[-event - 1]
        most = max(most, live)
    assert most <= figure <= replay(events, sizes)
    assert fits(events, sizes, figure)
    for guess in (figure - 3 * MIB, figure, figure + 3 * MIB):
        asked = needed(events, sizes, first_guess=guess)
        assert (asked <= guess) == (guess > 0 and fits(events, sizes, guess))
