"""The entries of the catalogue, one module per family; each exports `TYPES`."""

from entra_pipeline.catalogue.model import ObjectType
from entra_pipeline.catalogue.types import (
    applications,
    conditional_access,
    devices,
    external_identities,
    governance,
    groups,
    policies,
    recycle_bin,
    roles,
    tenant,
    users,
)

_LIVE: tuple[ObjectType, ...] = (
    *users.TYPES,
    *groups.TYPES,
    *applications.TYPES,
    *roles.TYPES,
    *conditional_access.TYPES,
    *policies.TYPES,
    *devices.TYPES,
    *tenant.TYPES,
    *governance.TYPES,
    *external_identities.TYPES,
)

TYPES: tuple[ObjectType, ...] = (*_LIVE, *recycle_bin.deleted(_LIVE))
