"""The entries of the catalogue, one module per family; each exports `TYPES`."""

from entra_pipeline.catalogue.model import ObjectType
from entra_pipeline.catalogue.types import (
    applications,
    conditional_access,
    devices,
    groups,
    roles,
    tenant,
    users,
)

TYPES: tuple[ObjectType, ...] = (
    *users.TYPES,
    *groups.TYPES,
    *applications.TYPES,
    *roles.TYPES,
    *conditional_access.TYPES,
    *devices.TYPES,
    *tenant.TYPES,
)
