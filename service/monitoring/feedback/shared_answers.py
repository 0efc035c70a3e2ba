"""The recent answers of all gateways, in the store that they share."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from service.monitoring.feedback.answer_record import AnswerRecord
from service.shared_state.shared_store import PREFIX, SharedStore, StoreAwayError

if TYPE_CHECKING:
    from redis.asyncio import Redis

_MOST_WAITING = 1000
"""The most answers that wait to be stored; more are remembered by their own gateway alone."""

_MOST_BYTES = 8 * 2**10
"""The longest answer that is stored: all together they must not fill the store."""

_AT_ONCE = 100
"""The most answers of one round trip."""

# In braces is what decides on the part of a cluster: the script uses names of one part only.
_NAME = f"{PREFIX}{{feedback}}:"
_INDEX = f"{_NAME}index"

_PUT = """
local time = redis.call('TIME')
local now = tonumber(time[1])
local seconds, most = tonumber(ARGV[1]), tonumber(ARGV[2])
for place = 3, #ARGV, 2 do
  redis.call('SET', ARGV[place], ARGV[place + 1], 'EX', seconds)
  redis.call('ZADD', KEYS[1], now, ARGV[place])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - seconds)
local over = redis.call('ZCARD', KEYS[1]) - most
if over > 0 then
  for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, over - 1)) do
    redis.call('DEL', name)
  end
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, over - 1)
end
redis.call('EXPIRE', KEYS[1], seconds)
"""
"""Store answers for some time, and forget the oldest if there are too many.

KEYS: the index. ARGV: the seconds, the most answers, and the name and the text of each answer.
"""


class SharedAnswers:
    """A memory of several gateways; used on the event loop only.

    Args:
        store: The store.
        most: The most answers of all gateways.
        seconds: The time for which an answer is remembered.
    """

    def __init__(self, store: SharedStore, most: int, seconds: float) -> None:
        self._store = store
        self._most = most
        self._seconds = max(1, round(seconds))
        self._waiting: deque[AnswerRecord] = deque()
        self._storing: asyncio.Task[None] | None = None

    def put(self, record: AnswerRecord) -> None:
        """Store an answer soon, unless it is long; the request does not wait for it."""
        if len(record.body) > _MOST_BYTES:
            return
        if not self._store.is_up or len(self._waiting) >= _MOST_WAITING:
            return
        self._waiting.append(record)
        if self._storing is None or self._storing.done():
            self._storing = asyncio.create_task(self._put_waiting())

    async def find(self, request_id: str, key: str | None) -> AnswerRecord | None:
        """Return a stored answer; see ``AnswerMemory.find``.

        Raises:
            StoreAwayError: The store cannot be used now.
        """
        name = _name(request_id, key)
        text = await self._store.run(lambda client: client.get(name))
        return None if text is None else AnswerRecord.from_json(text)

    async def claim(self, request_id: str, key: str | None, route: str) -> bool:
        """Take the feedback of an answer; see ``AnswerMemory.claim``.

        Raises:
            StoreAwayError: The store cannot be used now.
        """
        name = f"{_name(request_id, key)}:{route}"

        async def take(client: Redis) -> bool:
            return bool(await client.set(name, "1", nx=True, ex=self._seconds))

        return await self._store.run(take)

    async def _put_waiting(self) -> None:
        """Store all that waits; meanwhile more answers become one call."""
        while self._waiting:
            count = min(len(self._waiting), _AT_ONCE)
            records = [self._waiting.popleft() for _ in range(count)]
            arguments: list[str | int] = [self._seconds, self._most]
            for record in records:
                arguments += [_name(record.request_id, record.key), record.to_json().decode()]
            try:
                await self._store.call_script(_PUT, [_INDEX], arguments)
            except StoreAwayError:
                self._waiting.clear()  # their own gateway remembers them


def _name(request_id: str, key: str | None) -> str:
    # A slash is in no key's name, so that two pairs never have one name.
    return f"{_NAME}{key or ''}/{request_id}"
