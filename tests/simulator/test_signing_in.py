"""Signing in with the real azure-identity, reading with the real msgraph-sdk, and what is refused."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential, ClientSecretCredential
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from entra_pipeline.simulator import Simulator
from tests.simulator.conftest import Client


def scope(simulator: Simulator) -> str:
    return simulator.graph_url.removesuffix("/v1.0") + "/.default"


def credential(simulator: Simulator, **changes: str) -> ClientSecretCredential:
    given = {
        "tenant_id": simulator.tenant_id,
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        **changes,
    }
    return ClientSecretCredential(
        **given,
        authority=simulator.authority,
        disable_instance_discovery=True,
        connection_verify=str(simulator.ca_bundle),
    )


def test_azure_identity_gets_a_token_that_graph_accepts(shared: Simulator) -> None:
    with credential(shared) as signed_in:
        token = signed_in.get_token(scope(shared))
    assert 3500 < token.expires_on - datetime.now(UTC).timestamp() < 3700
    answer = httpx.get(f"{shared.graph_url}/users", headers={"Authorization": f"Bearer {token.token}"}, trust_env=False)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("changes", "explanation"),
    [
        ({"client_secret": "wrong"}, "AADSTS7000215"),
        ({"client_id": "11111111-2222-3333-4444-555555555555"}, "AADSTS700016"),
        # azure-identity asks for the tenant's OpenID configuration first, and does not pass on why there is none.
        ({"tenant_id": "11111111-2222-3333-4444-555555555555"}, "Unable to get authority configuration"),
    ],
)
def test_azure_identity_is_told_what_is_wrong(changes: dict[str, str], explanation: str, shared: Simulator) -> None:
    with credential(shared, **changes) as signed_in, pytest.raises(ClientAuthenticationError) as refused:
        signed_in.get_token(scope(shared))
    assert explanation in str(refused.value)


def test_the_answer_to_a_wrong_secret(shared: Simulator) -> None:
    answer = httpx.post(
        f"{shared.authority}/{shared.tenant_id}/oauth2/v2.0/token",
        data={
            "client_id": shared.client_id,
            "client_secret": "x",
            "grant_type": "client_credentials",
            "scope": scope(shared),
        },
        verify=ssl.create_default_context(cafile=str(shared.ca_bundle)),
        trust_env=False,
    )
    body = answer.json()
    assert answer.status_code == 401
    assert (body["error"], body["error_codes"]) == ("invalid_client", [7000215])
    assert body["error_description"].startswith("AADSTS7000215: Invalid client secret provided.")
    assert body["error_uri"].endswith("error?code=7000215")


def test_a_certificate_signs_in_once_it_is_registered(simulator: Simulator, tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "backup")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM)
    file = tmp_path / "backup.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem)

    def token() -> str:
        with CertificateCredential(
            simulator.tenant_id,
            simulator.client_id,
            str(file),
            authority=simulator.authority,
            disable_instance_discovery=True,
            connection_verify=str(simulator.ca_bundle),
        ) as signed_in:
            return signed_in.get_token(scope(simulator)).token

    with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
        token()
    simulator.control.register_certificate(simulator.client_id, pem.decode())
    assert token()


# The SDK warns of classes that it uses itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_real_sdk_reads_writes_and_explains(simulator: Simulator) -> None:
    from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
    from msgraph.generated.models.group import Group
    from msgraph.generated.models.o_data_errors.o_data_error import ODataError
    from msgraph.graph_request_adapter import GraphRequestAdapter
    from msgraph.graph_service_client import GraphServiceClient

    async def use() -> None:
        signed_in = credential(
            simulator, client_id=simulator.restore_client_id, client_secret=simulator.restore_client_secret
        )
        provider = AzureIdentityAuthenticationProvider(signed_in, scopes=[scope(simulator)], allowed_hosts=[])
        async with httpx.AsyncClient(trust_env=False) as http:
            adapter = GraphRequestAdapter(provider, http)
            adapter.base_url = simulator.graph_url
            graph = GraphServiceClient(request_adapter=adapter)
            users = await graph.users.get()
            assert users is not None and users.value is not None
            assert len(users.value) == 60
            delta = await graph.groups.delta.get()
            assert delta is not None and delta.odata_delta_link
            group = Group(display_name="From the SDK", mail_enabled=False, mail_nickname="sdk", security_enabled=True)
            made = await graph.groups.post(group)
            assert made is not None and made.id
            with pytest.raises(ODataError) as refused:
                await graph.users.by_user_id("nobody").get()
            assert refused.value.error is not None
            assert refused.value.error.code == "Request_ResourceNotFound"
        signed_in.close()

    asyncio.run(use())


def test_graph_over_tls() -> None:
    with Simulator(users=3, groups=1, https=True) as simulator:
        assert simulator.graph_url.startswith("https://127.0.0.1:")
        client = httpx.Client(verify=ssl.create_default_context(cafile=str(simulator.ca_bundle)), trust_env=False)
        with credential(simulator) as signed_in:
            client.headers["Authorization"] = f"Bearer {signed_in.get_token(scope(simulator)).token}"
        page = client.get(f"{simulator.graph_url}/users?$top=1").json()
        assert page["@odata.nextLink"].startswith(simulator.graph_url)
        assert client.get(page["@odata.nextLink"]).status_code == 200
        client.close()


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x.y.z", "Basic dTpw"])
def test_without_a_good_token(header: str, shared: Simulator) -> None:
    answer = httpx.get(
        f"{shared.graph_url}/users", headers={"Authorization": header} if header else {}, trust_env=False
    )
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "InvalidAuthenticationToken"


def test_tokens_expire_and_can_be_expired(simulator: Simulator) -> None:
    client = Client(simulator)
    simulator.control.expire_tokens()
    assert client.refused("GET", "users")[:2] == (401, "InvalidAuthenticationToken")
    client.sign_in()
    assert client.send("GET", "users").status_code == 200
    simulator.control.token_lifetime(-1)
    client.sign_in()
    assert client.send("GET", "users").status_code == 401
    client.http.close()


def test_a_wrong_path_is_told_before_the_token_is_looked_at(shared: Simulator) -> None:
    assert httpx.get(f"{shared.graph_url}/nowhere", trust_env=False).status_code == 400


def test_permissions(simulator: Simulator, client: Client) -> None:
    assert client.refused("POST", "groups", {})[:2] == (403, "Authorization_RequestDenied")
    simulator.control.roles(simulator.client_id, ["Group.Read.All"])
    assert client.send("GET", "users").status_code == 200, "a token keeps the permissions it was issued with"
    client.sign_in()
    assert client.refused("GET", "users") == (
        403,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    )
    assert client.send("GET", "groups").status_code == 200
    simulator.control.roles(simulator.client_id, ["User.Read.All"])
    client.sign_in()
    assert client.send("GET", "users?$select=customSecurityAttributes").status_code == 403
    assert client.send("GET", "users/delta?$select=employeeLeaveDateTime").status_code == 403


def test_a_path_can_be_denied(simulator: Simulator, client: Client) -> None:
    simulator.control.deny("identity/conditionalAccess")
    assert client.refused("GET", "identity/conditionalAccess/policies")[:2] == (403, "Authorization_RequestDenied")
    simulator.control.deny("identity/conditionalAccess", 0)
    assert client.send("GET", "identity/conditionalAccess/policies").status_code == 200
