"""kafka-python on the event loop: its clients block, so each gets a thread of its own to do so.

The event loop never waits for Kafka; what goes wrong is Unavailable; no call takes longer than CALL_SECONDS,
and to leave no longer than CLOSE_SECONDS, whatever the broker does.

kafka-python 3 has an event loop of its own, in yet another thread. We give it the network that it works with,
and so can close that: whoever still waits in our thread is let go then, and neither thread stays.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from socket import socket
from threading import Thread
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from kafka.errors import BrokerResponseError, KafkaError
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket
from kafka.net.selector import NetworkSelector

from shared.config import Secret
from shared.errors import Unavailable
from shared.tasks import spawn

FIND_SECONDS = 3.0  # to find a broker, at the beginning
CONNECT_SECONDS = 2.0  # a broker that takes longer to greet us is as good as away
ANSWER_SECONDS = 5.0  # for one answer of a broker
CALL_SECONDS = 8.0  # for what takes several
RECONNECT_SECONDS = 1.0  # the longest pause between two attempts; kafka-python would wait up to 30 s
CLOSE_SECONDS = 1.5
RETRY_AFTER_SECONDS = 1.0  # what we tell clients

# Its own, the system's, those of its event loop when that ends, and those of its races with a rebalance.
FAILURES = (KafkaError, OSError, RuntimeError, LookupError)

C = TypeVar("C")
P = ParamSpec("P")
T = TypeVar("T")


def milliseconds(seconds: float) -> int:
    """How kafka-python wants it."""
    return round(seconds * 1000)


@contextmanager
def kafka_errors() -> Iterator[None]:
    """Failures of Kafka, or of its client, leave the block as Unavailable, the cause is kept."""
    try:
        yield
    except Unavailable:
        raise
    except FAILURES as failure:
        says = "refuses" if isinstance(failure, BrokerResponseError) else "does not answer"
        detail = f"Kafka {says}: {_in_words(failure)}."
        raise Unavailable(detail, retry_after=RETRY_AFTER_SECONDS) from failure


def _in_words(failure: Exception) -> str:
    said = str(failure) if isinstance(failure, OSError) else ""
    return said or type(failure).__name__


class Threaded(Generic[C]):
    """A client of kafka-python, and the one thread that may wait for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "kafka")
        self._client: C | None = None
        self._network: KafkaNetClient | None = None
        self._loop: NetworkSelector | None = None  # kafka-python's own

    @property
    def raw(self) -> C:
        """The client itself, for what does not wait."""
        assert self._client is not None, "it is connected first"
        return self._client

    async def call(self, act: Callable[Concatenate[C, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `act` returns for the client, in the thread, when earlier calls are through. Unavailable."""
        return await self._run(partial(act, self.raw, *args, **kwargs))

    async def connect(self, kind: Callable[..., C], url: Secret, **settings: Any) -> None:
        """Have the client: a `kind` with these settings. Raises Unavailable, at once when no broker runs."""
        servers = url.value.removeprefix("kafka://").split(",")
        with kafka_errors():
            await _knock(servers)  # kafka-python would try for FIND_SECONDS, with pauses that become longer
        await self._run(partial(self._make, kind, bootstrap_servers=servers, **settings))

    async def end(self, close: Callable[[C], object]) -> None:
        """`close` the client, after what it is at; by force when that has not been possible in CLOSE_SECONDS.

        That goes on when we are not waited for any more.
        """
        leaving = self._thread.submit(self._leave, close)
        self._thread.shutdown(wait=False)
        await asyncio.wait([spawn(self._let_go(asyncio.wrap_future(leaving)), "kafka closing")])

    def is_connected(self) -> bool:
        """Whether there is a connection to a broker."""
        network = self._network
        return network is not None and any(
            network.connected(each.node_id) for each in network.cluster.brokers()
        )

    def wake(self) -> None:
        """Tell kafka-python's loop that something has happened outside of it."""
        if self._network is not None:
            self._network.wakeup()

    async def _run(self, work: Callable[[], T]) -> T:
        with kafka_errors():
            async with asyncio.timeout(CALL_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _make(self, kind: Callable[..., C], **settings: Any) -> None:
        # kafka-python logs every attempt, in vain or not; we log changes.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        try:
            self._client = kind(
                kafka_client=self._make_network,
                bootstrap_timeout_ms=milliseconds(FIND_SECONDS),
                request_timeout_ms=milliseconds(ANSWER_SECONDS),
                reconnect_backoff_max_ms=milliseconds(RECONNECT_SECONDS),
                **settings,
            )
        except BaseException:
            self._close_network()
            raise

    async def _let_go(self, leaving: asyncio.Future[None]) -> None:
        try:
            await asyncio.wait([leaving], timeout=CLOSE_SECONDS)
        finally:
            if not leaving.done():
                Thread(target=self._close_network, name="kafka closing", daemon=True).start()

    def _leave(self, close: Callable[[C], object]) -> None:
        if self._client is not None and self._loop is not None:
            with suppress(Exception):  # nobody is there any more who could do something about it
                close(self._client)
            _TrackedSocket.close_all(self._loop)

    def _close_network(self) -> None:
        if self._network is not None and self._loop is not None:
            with suppress(Exception):
                self._network.close()
            _TrackedSocket.close_all(self._loop)

    def _make_network(self, **settings: Any) -> KafkaNetClient:
        settings |= {
            "socket_connection_setup_timeout_ms": milliseconds(CONNECT_SECONDS),
            "proxy_url": f"{_TrackedSocket.SCHEMES[0]}:",
        }
        self._loop = NetworkSelector(**settings)
        self._network = KafkaNetClient(net=self._loop, **settings)
        return self._network


async def _knock(servers: Sequence[str]) -> None:
    """Return when one of them lets us in; OSError of the last if none does."""
    failure = OSError("no servers")
    for server in servers:
        host, _, port = server.rpartition(":")
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError as refused:
            failure = OSError(f"{server}: {refused.strerror or _in_words(refused)}")
        else:
            return writer.close()
    raise failure


_open_sockets: "WeakKeyDictionary[NetworkSelector, WeakSet[socket]]" = WeakKeyDictionary()


class _TrackedSocket(KafkaNetSocket):  # type: ignore[misc] # kafka-python has no types
    """How kafka-python connects; it knows what is open.

    By itself kafka-python leaves sockets open (3.0.12): those of attempts in vain, and those over which there
    was still something to be sent when it was closed.
    """

    SCHEMES = ("tracked",)  # for proxy_url

    async def sock_connect(self, net: NetworkSelector, sock: socket, *args: Any, **kwargs: Any) -> socket:
        try:
            link: socket = await super().sock_connect(net, sock, *args, **kwargs)
        except BaseException:
            sock.close()
            raise
        _open_sockets.setdefault(net, WeakSet()).add(link)
        return link

    @staticmethod
    def close_all(net: NetworkSelector) -> None:
        """Those of one of kafka-python's event loops."""
        for each in list(_open_sockets.pop(net, ())):
            each.close()


@asynccontextmanager
async def connected(
    kind: Callable[..., C], url: Secret, close: Callable[[C], object], **settings: Any
) -> AsyncIterator[Threaded[C]]:
    """A client for as long as the block runs; `close` ends it. Raises Unavailable."""
    client: Threaded[C] = Threaded()
    try:
        await client.connect(kind, url, **settings)
        yield client
    finally:
        await client.end(close)
