"""What the catalogue keeps of msgraph-sdk's models is what the installed msgraph-sdk says."""

import pytest

from entra_pipeline.catalogue.sdk import (
    MODELS_FILE,
    Property,
    PropertyKind,
    has_navigation,
    model_properties,
    read_model,
)
from entra_pipeline.catalogue.shipped import encoded, models

pytestmark = pytest.mark.pure


def test_the_file_is_what_msgraph_sdk_says() -> None:
    assert MODELS_FILE.read_bytes() == encoded(models()), "run `make models`"


def test_a_model_that_is_not_in_the_file_is_read() -> None:
    assert model_properties("password_profile") == read_model("password_profile").properties
    assert model_properties("password_profile")["password"] == Property(PropertyKind.STRING)


def test_navigation_is_no_property() -> None:
    assert has_navigation("user", "manager")
    assert "manager" not in model_properties("user")
    assert not has_navigation("user", "displayName")
