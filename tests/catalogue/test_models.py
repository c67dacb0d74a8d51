"""The catalogue against msgraph-sdk's models: no property of an object is left out without a reason."""

from __future__ import annotations

import inspect
import re

import pytest

from entra_pipeline.catalogue import CATALOGUE, ObjectType
from entra_pipeline.catalogue.sdk import model_class, model_properties

pytestmark = pytest.mark.pure

# Graph has agents look like users, applications and service principals. What only they have is shown by a cast, and in
# `_raw` wherever Graph returns it unasked.
AGENTS = {"agent_user", "agent_identity", "agent_identity_blueprint", "agent_identity_blueprint_principal"}
# What only an action returns, and what lives in a collection of its own.
ELSEWHERE = {
    "conditional_access_policies": {"what_if_analysis_result"},
    "identity_providers": {
        "internal_domain_federation",
        "saml_or_ws_fed_external_domain_federation",
        "saml_or_ws_fed_provider",
    },
    "federation_configurations": {
        "apple_managed_identity_provider",
        "built_in_identity_provider",
        "internal_domain_federation",
        "oidc_identity_provider",
        "social_identity_provider",
    },
    "custom_workflow_extensions": {
        "custom_authentication_extension",
        "identity_governance.custom_task_extension",
        "on_attribute_collection_start_custom_extension",
        "on_attribute_collection_submit_custom_extension",
        "on_otp_send_custom_extension",
        "on_password_submit_custom_extension",
        "on_token_issuance_start_custom_extension",
        "on_verified_id_claim_validation_custom_extension",
        "role_management_custom_callout_extension",
    },
}


def derived(model: str) -> list[str]:
    """Modules of the models that are derived from the model."""
    source = inspect.getsource(model_class(model).create_from_discriminator_value)
    names = re.findall(r'"#microsoft\.graph\.([\w.]+)"', source)
    return [re.sub(r"(?<![.^])(?=[A-Z])", "_", name).lower().lstrip("_") for name in names]


def accounted(entry: ObjectType) -> set[str]:
    """Properties that are columns, or are left out for a reason."""
    return {*entry.properties, *entry.not_listable, entry.secret}


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.name)
def test_every_property_is_a_column_or_left_out_for_a_reason(entry: ObjectType) -> None:
    models = {name for model in (entry.model, *entry.subtypes) for name in model_properties(model)}
    if entry.projection:
        assert set(entry.projection) <= models
        # The rest is in the table of the type whose objects these are, or of another that shows them.
        assert entry.shows
        return
    assert models <= accounted(entry)
    assert entry.properties.keys() - models <= {name.partition("(")[0] for name in (*entry.expand, *entry.inline)}
    assert entry.not_listable.keys() <= models
    assert all(entry.not_listable.values())
    assert entry.gated.keys() <= entry.properties.keys()
    assert entry.on_request <= entry.properties.keys()
    assert entry.streams is None or entry.streams.names <= entry.properties.keys()


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.name)
def test_every_derived_type_has_its_columns(entry: ObjectType) -> None:
    if entry.projection:
        return
    elsewhere = ELSEWHERE.get(entry.name.removeprefix("deleted_"), set())
    for model in derived(entry.model):
        if model not in AGENTS | elsewhere:
            assert model_properties(model).keys() <= accounted(entry), model


def test_what_a_projection_leaves_out_is_in_another_table() -> None:
    for entry in (one for one in CATALOGUE.values() if one.projection):
        everywhere = {
            name
            for other in CATALOGUE.values()
            if entry.shows in {other.name, other.shows}
            for name in other.properties
        }
        owner = CATALOGUE[entry.shows]
        assert model_properties(entry.model).keys() <= everywhere | owner.not_listable.keys()
