"""Rules of choosing frames and clips: functions of (seed, epoch, clip id) only.

A resumed run draws what an uninterrupted one would have drawn, whatever the number of worker
processes, because no generator lives longer than one clip.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from expressway.media.sampling import middles

Indices = NDArray[np.int64]
TEST_EPOCH = -1
FIRST_EPOCH = 0


def generator(seed: int, epoch: int, key: str) -> np.random.Generator:
    """Return the random generator of one clip in one epoch (``TEST_EPOCH`` when testing)."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{key}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def torch_seed(seed: int, key: str, epoch: int = FIRST_EPOCH) -> int:
    """Return a seed for torch's own generator."""
    return int(generator(seed, epoch, key).integers(2**62))


def every_kth(source_index: Indices, valid: NDArray[np.bool_], step: int) -> Indices:
    """Return positions of the stored frames nearest to source frames 0, k, 2k, ... of the clip.

    Frames are counted from the clip's first stored frame in the *source video*, so a store that
    was sampled at a lower rate gives the same moments as one with native frames. A stored frame
    is taken once. Frames without a detected face are left out, unless the clip has no other.

    Args:
        source_index: (frames,) ascending frame numbers in the source video.
        valid: (frames,) whether a face was detected.
        step: k.
    """
    offsets = np.asarray(source_index, dtype=np.int64) - int(source_index[0])
    wanted = np.arange(0, offsets[-1] + 1, step)
    after = np.searchsorted(offsets, wanted).clip(max=len(offsets) - 1)
    before = (after - 1).clip(min=0)
    closer_before = wanted - offsets[before] <= np.abs(offsets[after] - wanted)
    exact = offsets[after] == wanted
    chosen = np.unique(np.where(closer_before & ~exact, before, after))
    with_face = chosen[np.asarray(valid, dtype=bool)[chosen]]
    return with_face if len(with_face) else chosen


def segment_frames(count: int, frames: int, random: np.random.Generator | None = None) -> Indices:
    """Return (frames,) one frame of each of ``frames`` equal parts: the middle, or a random one.

    The bounds of the parts are real numbers, so no frame is out of reach. A clip of fewer frames
    gives all of them and repeats the last one.
    """
    if count < frames:
        return np.arange(frames).clip(max=count - 1)
    if random is None:
        return middles(count, frames)
    return ((np.arange(frames) + random.random(frames)) * count / frames).astype(np.int64)


def nearest_frames(source_index: Indices, valid: NDArray[np.bool_], wanted: Indices) -> Indices:
    """Return for each wanted frame of a clip the position of the nearest stored one.

    Frames without a detected face do not count, unless the clip has no other.

    Args:
        source_index: (frames,) ascending frame numbers in the source video.
        wanted: (n,) frames counted from the clip's first stored one in the source video.
    """
    offsets = np.asarray(source_index, dtype=np.int64) - int(source_index[0])
    with_face = np.flatnonzero(np.asarray(valid, dtype=bool))
    usable = with_face if len(with_face) else np.arange(len(offsets))
    return usable[nearest(offsets[usable], wanted)]


def nearest(places: Indices, wanted: Sequence[int] | Indices) -> Indices:
    """Return (n,) for each of ``wanted`` the position of the nearest place, the first of equals."""
    return np.abs(places[None] - np.asarray(wanted)[:, None]).argmin(1)


def fit_length(positions: Indices, length: int) -> Indices:
    """Pad a short list to ``length`` by walking back and forth (numpy's ``reflect``)."""
    missing = max(0, length - len(positions))
    return np.pad(positions, (0, missing), mode="reflect") if missing else positions[:length]


def window_at(count: int, length: int, start: int) -> Indices:
    """Return ``length`` consecutive positions from ``start``; short clips are reflected."""
    return fit_length(np.arange(count)[start : start + length], length)


def centre_window(count: int, length: int) -> Indices:
    """Return the window in the middle of ``count`` frames: the same for every call."""
    return window_at(count, length, max(0, (count - length) // 2))


def random_window(count: int, length: int, random: np.random.Generator) -> Indices:
    """Return a window that starts anywhere it fits."""
    return window_at(count, length, int(random.integers(max(1, count - length + 1))))


def wrapping_window(count: int, length: int, start: int) -> Indices:
    """Return the window of EmoCLIP's release (section 4.2), which wraps around the clip's end.

    With ``start`` drawn from 0..count-1 most windows contain a jump from the last frame to the
    first. What is still short after one wrap is reflected.
    """
    if start + length < count:
        return np.arange(start, start + length)
    wrapped = min(start + length - count, count)
    return fit_length(np.concatenate([np.arange(start, count), np.arange(wrapped)]), length)


class EpochSampler:
    """Yields ``(epoch, index)`` in an order that depends on (seed, epoch) only.

    The epoch travels with the index, so that worker processes need no other message.
    Lightning calls ``set_epoch`` before each epoch, also after a resume. Of ``world`` processes
    each takes every ``world``-th clip, so that together they see what one process would see:
    no clip twice, and those that do not fill a last step are left out of this epoch.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        weights: Sequence[float] | None = None,
        rank: int = 0,
        world: int = 1,
        used: int | None = None,
    ) -> None:
        """Set up the order of ``count`` clips.

        Args:
            weights: draw clips with replacement by weight (over-sampling).
            used: how many clips an epoch has, over all processes; None: all.
        """
        self.count, self.seed, self.rank, self.world = count, seed, rank, world
        self.used = (count if used is None else used) // world * world
        self.weights = None if weights is None else np.asarray(weights) / np.sum(weights)
        self.epoch = 0
        self._done: tuple[int, int] = (0, 0)

    def resume(self, epoch: int, done: int) -> None:
        """Go on in an epoch of which this process has had ``done`` clips already."""
        self.epoch, self._done = epoch, (epoch, done)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.used // self.world

    def __iter__(self) -> Iterator[tuple[int, int]]:
        random = generator(self.seed, self.epoch, "order of clips")
        if self.weights is None:
            order = random.permutation(self.count)
        else:
            order = random.choice(self.count, self.count, p=self.weights)
        epoch, done = self._done
        mine = order[self.rank : self.used : self.world][done if epoch == self.epoch else 0 :]
        return ((self.epoch, int(index)) for index in mine)


def balancing_weights(labels: Sequence[int]) -> list[float]:
    """Return one weight per clip, so that every class is drawn equally often."""
    values, counts = np.unique(labels, return_counts=True)
    share = dict(zip(values.tolist(), (1.0 / counts).tolist(), strict=True))
    return [share[int(label)] for label in labels]
