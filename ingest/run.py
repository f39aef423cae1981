"""A run of plain messages, read in one go: their readings as columns, and each message when it is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from store.columns import Columns


class Publish(NamedTuple):
    """One message as it came. `mid` is the packet id's two bytes, empty for QoS 0."""

    topic: bytes
    payload: bytes
    mid: bytes = b""
    qos: int = 0
    retain: bool = False
    dup: bool = False
    properties: object = None


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """n messages of QoS 1, each one reading of `columns`.

    mid: uint16[n]; payload, end: int64[n], where each payload lies in columns.text.
    """

    columns: Columns
    topics: Sequence[bytes]  # by the number in columns.asset
    mid: NDArray[np.uint16]
    payload: NDArray[np.int64]
    end: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.mid)

    @property
    def payload_bytes(self) -> int:
        """How long all payloads are together."""
        return int((self.end - self.payload).sum())

    def publishes(self) -> Iterator[Publish]:
        """Yield the messages one by one."""
        numbers = self.columns.asset.tolist()
        text, mids = self.columns.text, self.mid.astype(">u2").tobytes()
        for at, (number, start, stop) in enumerate(
            zip(numbers, self.payload.tolist(), self.end.tolist(), strict=True)
        ):
            yield Publish(self.topics[number], text[start:stop], mids[2 * at : 2 * at + 2], 1)

    def acknowledgements(self) -> bytes:
        """Return the PUBACK packets of all messages."""
        packets = np.empty((len(self), 4), np.uint8)
        packets[:, 0], packets[:, 1] = 0x40, 2
        packets[:, 2], packets[:, 3] = self.mid >> 8, self.mid & 255
        return packets.tobytes()


Message = Publish | Run


def count(messages: Iterable[Message]) -> int:
    """Return how many messages there are, those of runs one by one."""
    return sum(len(m) if isinstance(m, Run) else 1 for m in messages)


def single(messages: Iterable[Message]) -> Iterator[Publish]:
    """Yield every message by itself."""
    for message in messages:
        if isinstance(message, Run):
            yield from message.publishes()
        else:
            yield message
