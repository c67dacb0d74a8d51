"""Pages travel over aiohttp, and httpx tells the same as over its own transport."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from entra_pipeline.graph.credentials import trust
from entra_pipeline.graph.transport import mounts
from entra_pipeline.simulator import Simulator

Talk = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
PATH = "/v1.0/users?$select=id,a%2Fb&$skiptoken=a%2Bb%3D%3D"


class Server:
    """Speaks what it is told over TCP, and remembers what it was asked."""

    def __init__(self, *talks: Talk) -> None:
        self.asked: list[bytes] = []
        self._talks = list(talks)

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.root = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lengths = [line[15:] for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")]
                self.asked.append(head + await reader.readexactly(sum(map(int, lengths))))
                await self._talks.pop(0)(head, writer)
                if writer.is_closing():
                    return
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def says(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None, closes: bool = False) -> Talk:
    async def talk(head: bytes, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body) if length is None else length}"]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        if closes:
            writer.close()

    return talk


async def hangs_up(head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def keeps_silent(head: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


def client(ca_bundle: Path | None = None, patience: float = 30) -> httpx.AsyncClient:
    context = trust(ca_bundle)
    limits = httpx.Limits(max_connections=4)
    return httpx.AsyncClient(verify=context, timeout=patience, limits=limits, mounts=mounts(context, limits))


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def asking(
    *talks: Talk, method: str = "GET", times: int = 1, patience: float = 30
) -> tuple[list[httpx.Response | Exception], list[bytes]]:
    """The answers to so many requests over one client, or why there were none, and what the server was asked."""

    async def ask() -> tuple[list[httpx.Response | Exception], list[bytes]]:
        async with Server(*talks) as server, client(patience=patience) as http:
            answers: list[httpx.Response | Exception] = []
            for _ in range(times):
                try:
                    answers.append(await http.request(method, server.root + PATH, headers={"Prefer": "x"}))
                except httpx.HTTPError as error:
                    answers.append(error)
            return answers, server.asked

    return asyncio.run(ask())


def test_an_answer_comes_whole_with_its_status_and_headers():
    (first, second, third), asked = asking(
        says(b'{"value":[]}', "x-ms-resource-unit: 2", "Retry-After: 3"),
        says(b"gone", status="410 Gone"),
        says(b"", "Location: https://elsewhere.example/", status="302 Found"),
        times=3,
    )
    assert (first.status_code, first.content, first.headers["x-ms-resource-unit"]) == (200, b'{"value":[]}', "2")
    assert (second.status_code, second.content) == (410, b"gone")
    assert (third.status_code, third.headers["location"]) == (302, "https://elsewhere.example/")
    # Links of Graph are passed on to the letter, and headers are those of httpx.
    assert all(one.startswith(b"GET " + PATH.encode() + b" HTTP/1.1\r\n") for one in asked)
    heads = [one.lower() for one in asked]
    assert all(head.count(b"\r\nuser-agent: python-httpx") == 1 and b"\r\nprefer: x\r\n" in head for head in heads)


def test_a_packed_answer_is_unpacked_once():
    body = b'{"value":[%s]}' % b",".join([b'{"id":"a"}'] * 9_999)
    (answer,), _ = asking(says(gzip.compress(body), "Content-Encoding: gzip"))
    assert answer.content == body


@pytest.mark.parametrize(
    ("talks", "meant"),
    [
        # aiohttp asks again by itself, once.
        ((hangs_up, hangs_up), httpx.RemoteProtocolError),
        ((says(b'{"value":[', length=100, closes=True),), httpx.RemoteProtocolError),
        ((says(b"", "nonsense"),), httpx.RemoteProtocolError),
        ((keeps_silent,), httpx.ReadTimeout),
    ],
)
def test_a_lost_answer_is_not_a_request_that_never_left(talks, meant):
    (error,), asked = asking(*talks, patience=0.5 if keeps_silent in talks else 30)
    assert type(error) is meant
    assert str(error)
    assert len(asked) == len(talks)


def test_nobody_there():
    async def ask() -> None:
        async with client() as http:
            await http.get("http://127.0.0.1:9/")

    with pytest.raises(httpx.ConnectError):
        asyncio.run(ask())


def test_a_write_is_sent_once():
    (_, lost, last), asked = asking(says(b"{}"), hangs_up, says(b"{}"), method="DELETE", times=3)
    assert isinstance(lost, httpx.TransportError)
    assert last.status_code == 200
    assert len(asked) == 3


def test_only_who_is_trusted_is_talked_to():
    with Simulator(users=1, groups=1, https=True) as simulator:

        async def ask(ca_bundle: Path | None) -> int:
            async with client(ca_bundle) as http:
                return (await http.get(f"{simulator.graph_url}/users")).status_code

        assert asyncio.run(ask(simulator.ca_bundle)) == 401
        with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
            asyncio.run(ask(None))


def test_where_there_is_a_proxy_httpx_goes_through_it(monkeypatch):
    async def ask() -> tuple[int, list[bytes]]:
        async with Server(says(b"{}")) as proxy:
            monkeypatch.setenv("http_proxy", proxy.root)
            async with client() as http:
                return (await http.get("http://graph.example" + PATH)).status_code, proxy.asked

    status, asked = asyncio.run(ask())
    assert status == 200
    assert asked[0].startswith(b"GET http://graph.example/v1.0/users?")
