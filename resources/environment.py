"""What operations work on in Dagster: stores and tenants as the resources open them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from entra_pipeline.graph import Graph
from entra_pipeline.project import Project, Scope
from entra_pipeline.store.recovery_points import ScopeStore
from resources.storage import StorageResource
from resources.tenant import TenantResource


@dataclass(frozen=True, slots=True)
class ResourceEnvironment:
    """An `operations.environment.Environment` of Dagster's resources.

    Attributes:
        tenants: Opens tenants.
        storage: Opens stores.
    """

    tenants: TenantResource
    storage: StorageResource

    @property
    def project(self) -> Project:
        """The project, as it is configured now."""
        return self.tenants.project()

    def open_store(self, scope: Scope | str) -> ScopeStore:
        """As `Environment.open_store`."""
        return self.storage.open(scope)

    def open_tenant(self, scope: Scope, *, writing: bool = False, job: str) -> AbstractAsyncContextManager[Graph]:
        """As `Environment.open_tenant`."""
        return self.tenants.open(scope, writing=writing, job=job)
