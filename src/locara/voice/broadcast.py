"""One stream, several consumers, none of whom can slow it down: each has a bounded queue of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Queue(Generic[T]):
    def __init__(self, size: int) -> None:
        self.items: deque[T] = deque()
        self.size = size
        self.lost = 0
        self.wake = asyncio.Event()


class Broadcast(Generic[T]):
    """``expendable(item)`` says which items a slow consumer loses first; ``marked(item, lost)`` is the next item it gets,
    saying how many it lost. Must be used from one event loop."""

    def __init__(
        self,
        size: int,
        *,
        expendable: Callable[[T], bool] = lambda item: True,
        marked: Callable[[T, int], T] = lambda item, lost: item,
    ) -> None:
        self._size = size
        self._expendable = expendable
        self._marked = marked
        self._queues: list[_Queue[T]] = []
        self._closed = False

    @property
    def listened_to(self) -> bool:
        """True while there is a consumer."""
        return bool(self._queues)

    def send(self, item: T) -> None:
        """To every consumer there is. Never waits."""
        for queue in self._queues:
            if len(queue.items) >= queue.size:
                self._make_room(queue)
            queue.items.append(item)
            queue.wake.set()

    def _make_room(self, queue: _Queue[T]) -> None:
        queue.lost += 1
        for index, item in enumerate(queue.items):
            if self._expendable(item):
                del queue.items[index]
                return
        queue.items.popleft()

    def close(self) -> None:
        """Every consumer gets what is left, and then its end."""
        self._closed = True
        for queue in self._queues:
            queue.wake.set()

    def subscribe(self, size: int | None = None) -> AsyncIterator[T]:
        """A consumer from this moment on, whether or not it is iterated yet."""
        queue: _Queue[T] = _Queue(size or self._size)
        self._queues.append(queue)
        return self._consume(queue)

    async def _consume(self, queue: _Queue[T]) -> AsyncIterator[T]:
        try:
            while True:
                while queue.items:
                    item = queue.items.popleft()
                    if queue.lost:
                        item, queue.lost = self._marked(item, queue.lost), 0
                    yield item
                if self._closed:
                    return
                queue.wake.clear()
                await queue.wake.wait()
        finally:
            if queue in self._queues:
                self._queues.remove(queue)
