"""PyTorch's caching allocator for CUDA, in bookkeeping: what it reserves from the device for a stream of requests.

After `c10/cuda/CUDACachingAllocator.cpp` and the notes on memory management of PyTorch's documentation, with their
defaults: no expandable segments, no limit of splitting, one stream.
"""

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flexdan.memory.trace import CONVOLUTION

MIB = 2**20
BLOCK = 512  # bytes: sizes of blocks are multiples of it
SMALL = MIB  # requests up to here come from the small pool, whose segments are
SMALL_SEGMENT = 2 * MIB
MEDIUM_SEGMENT = 20 * MIB  # segments of the large pool for requests below
LARGE = 10 * MIB  # from where on a segment is as large as the request, in multiples of
LARGE_STEP = 2 * MIB


class DeviceFullError(Exception):
    """A request that the device cannot serve."""


@dataclass(eq=False)
class _Block:
    """A piece of a segment; its neighbours in the segment are linked."""

    size: int
    address: tuple[int, int]  # number of the segment and offset in it
    small: bool
    before: "_Block | None" = None
    after: "_Block | None" = None
    free: bool = False

    @property
    def rank(self) -> tuple[int, tuple[int, int]]:
        """By which the best block is found: the smallest, and of several the lowest."""
        return self.size, self.address


class CachingAllocator:
    """The state of the allocator.

    Args:
        capacity: bytes that it may reserve; None: any number.
    """

    def __init__(self, capacity: int | None = None):
        self.capacity = capacity
        self.reserved = 0
        self.peak_reserved = 0
        self._segments = 0
        self._free: dict[bool, list[_Block]] = {True: [], False: []}
        self._used: dict[int, _Block] = {}

    def allocate(self, number: int, nbytes: int) -> None:
        """Serve a request.

        Raises:
            DeviceFullError: if that is not possible, also not after all unused segments were given back.
        """
        size = max(BLOCK, -(-nbytes // BLOCK) * BLOCK)
        small = size <= SMALL
        block = self._best(size, small) or self._new_segment(size, small)
        rest = block.size - size
        if rest >= BLOCK if small else rest > SMALL:
            segment, offset = block.address
            remainder = _Block(rest, (segment, offset + size), small, before=block, after=block.after)
            if block.after is not None:
                block.after.before = remainder
            block.size, block.after = size, remainder
            self._put(remainder)
        block.free = False
        self._used[number] = block

    def release(self, number: int) -> None:
        """Take a block back, joined with free neighbours."""
        block = self._used.pop(number)
        before, after = block.before, block.after
        if before is not None and before.free:
            self._take(before)
            block.size, block.address, block.before = block.size + before.size, before.address, before.before
            if block.before is not None:
                block.before.after = block
        if after is not None and after.free:
            self._take(after)
            block.size, block.after = block.size + after.size, after.after
            if block.after is not None:
                block.after.before = block
        self._put(block)

    def _best(self, size: int, small: bool) -> _Block | None:
        free = self._free[small]
        place = bisect.bisect_left(free, (size, (0, 0)), key=lambda block: block.rank)
        return free.pop(place) if place < len(free) else None

    def _new_segment(self, size: int, small: bool) -> _Block:
        wanted = -(-size // LARGE_STEP) * LARGE_STEP if size >= LARGE else SMALL_SEGMENT if small else MEDIUM_SEGMENT
        if self.capacity is not None and self.reserved + wanted > self.capacity:
            self._give_back()
            if self.reserved + wanted > self.capacity:
                raise DeviceFullError(f"{wanted} bytes asked for, {self.capacity - self.reserved} left")
        self.reserved += wanted
        self.peak_reserved = max(self.peak_reserved, self.reserved)
        self._segments += 1
        return _Block(wanted, (self._segments, 0), small)

    def _give_back(self) -> None:
        """Give the segments back of which nothing is used."""
        for small, blocks in self._free.items():
            whole = [block for block in blocks if block.before is None and block.after is None]
            self.reserved -= sum(block.size for block in whole)
            self._free[small] = [block for block in blocks if block.before is not None or block.after is not None]

    def _put(self, block: _Block) -> None:
        block.free = True
        bisect.insort(self._free[block.small], block, key=lambda block: block.rank)

    def _take(self, block: _Block) -> None:
        free = self._free[block.small]
        place = bisect.bisect_left(free, block.rank, key=lambda block: block.rank)
        assert free[place] is block, "a free block is in its pool"
        free.pop(place)


@dataclass(frozen=True, kw_only=True)
class Workspaces:
    """What the libraries below PyTorch take from the allocator, in bytes.

    Args:
        lasting: from the first step on.
        convolution: while a convolution runs; where it cannot be had, the library works without.
    """

    lasting: int = 0
    convolution: int = 0


def replay(
    events: Iterable[int], sizes: Sequence[int], capacity: int | None = None, workspaces: Workspaces | None = None
) -> int:
    """Return the most bytes that the allocator reserves for a stream of requests.

    Args:
        events: see `Trace`.
        sizes: bytes of storage number n, at index n - 1.
        capacity: bytes that it may reserve; None: any number.
        workspaces: of the libraries; None: they take nothing.

    Raises:
        DeviceFullError: if a request cannot be served.
    """
    allocator, workspaces = CachingAllocator(capacity), workspaces or Workspaces()
    if workspaces.lasting:
        allocator.allocate(0, workspaces.lasting)
    for event in events:
        if event > 0:
            allocator.allocate(event, sizes[event - 1])
        elif event < 0:
            allocator.release(-event)
        elif event == CONVOLUTION and workspaces.convolution:
            try:
                allocator.allocate(-1, workspaces.convolution)
            except DeviceFullError:
                continue
            allocator.release(-1)
    return allocator.peak_reserved


def fits(events: Sequence[int], sizes: Sequence[int], capacity: int, workspaces: Workspaces | None = None) -> bool:
    """Tell whether a stream of requests can be served with so many bytes."""
    try:
        replay(events, sizes, capacity, workspaces)
    except DeviceFullError:
        return False
    return True


def needed(
    events: Sequence[int],
    sizes: Sequence[int],
    workspaces: Workspaces | None = None,
    first_guess: int | None = None,
    precision: int = 8 * MIB,
) -> int:
    """Return the fewest bytes with which a stream of requests can be served, by halving.

    The figure is at most the first guess exactly where that many bytes serve.

    With little memory the allocator gives unused segments back and asks for others, so that this is less than what it
    reserves where memory abounds. It is not exactly true that more memory always serves more: the figure is the one
    that halving finds.
    """
    high = replay(events, sizes, None, workspaces)
    low = 0
    if first_guess is not None and low < first_guess < high:
        served = fits(events, sizes, first_guess, workspaces)
        low, high = (low, first_guess) if served else (first_guess, high)
    while high - low > precision:
        middle = (low + high) // 2
        if fits(events, sizes, middle, workspaces):
            high = middle
        else:
            low = middle
    return high
