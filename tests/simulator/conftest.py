"""A running simulated tenant, and a client that speaks plain HTTP to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from entra_pipeline.simulator import Simulator
from tests.support.patience import FRESH


class Client:
    """Sends requests as one app registration; knows paging and delta rounds, and nothing of the simulator's inside."""

    def __init__(self, simulator: Simulator, *, restore: bool = False) -> None:
        self.simulator = simulator
        self._who = (
            (simulator.restore_client_id, simulator.restore_client_secret)
            if restore
            else (simulator.client_id, simulator.client_secret)
        )
        self.http = httpx.Client(trust_env=False, timeout=60, limits=FRESH)
        self.sign_in()

    def sign_in(self) -> None:
        import ssl

        context = ssl.create_default_context(cafile=str(self.simulator.ca_bundle))
        answer = httpx.post(
            f"{self.simulator.authority}/{self.simulator.tenant_id}/oauth2/v2.0/token",
            data={
                "client_id": self._who[0],
                "client_secret": self._who[1],
                "grant_type": "client_credentials",
                "scope": self.simulator.graph_url.removesuffix("/v1.0") + "/.default",
            },
            verify=context,
            trust_env=False,
        )
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        url = path if "://" in path else f"{self.simulator.graph_url}/{path}"
        return self.http.request(method, url, json=body, headers=headers)

    def get(self, path: str, **headers: str) -> dict[str, Any]:
        answer = self.send("GET", path, **headers)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    def refused(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, str]:
        answer = self.send(method, path, body, **headers)
        error = answer.json()["error"]
        return answer.status_code, error["code"], error["message"]

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        link: str | None = path
        while link:
            page = self.get(link)
            yield page
            link = page.get("@odata.nextLink")

    def all(self, path: str) -> list[dict[str, Any]]:
        return [item for page in self.pages(path) for item in page["value"]]

    def round(self, path: str) -> tuple[list[dict[str, Any]], str]:
        """All objects of a delta round, in order, and the link to the next."""
        items: list[dict[str, Any]] = []
        link = ""
        for page in self.pages(path):
            items += page["value"]
            assert ("@odata.nextLink" in page) != ("@odata.deltaLink" in page)
            link = page.get("@odata.deltaLink", "")
        return items, link


@pytest.fixture(scope="session")
def shared() -> Iterator[Simulator]:
    """A tenant that tests only read."""
    with Simulator(users=300, groups=30, seed=7) as simulator:
        yield simulator


@pytest.fixture
def reader(shared: Simulator) -> Iterator[Client]:
    client = Client(shared)
    yield client
    client.http.close()


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A tenant of the test's own."""
    with Simulator(users=60, groups=12, seed=3) as simulator:
        yield simulator


@pytest.fixture
def client(simulator: Simulator) -> Iterator[Client]:
    client = Client(simulator)
    yield client
    client.http.close()


@pytest.fixture
def writer(simulator: Simulator) -> Iterator[Client]:
    client = Client(simulator, restore=True)
    yield client
    client.http.close()
