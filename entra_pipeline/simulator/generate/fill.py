"""Writes a whole tenant, family by family: what an object refers to is written before it."""

from __future__ import annotations

from entra_pipeline.simulator.generate.details import details
from entra_pipeline.simulator.generate.directory import applications, links, organization, people
from entra_pipeline.simulator.generate.directory.conditional_access import conditional_access
from entra_pipeline.simulator.generate.governance import governance
from entra_pipeline.simulator.generate.identity import identities
from entra_pipeline.simulator.generate.loader import Loader
from entra_pipeline.simulator.generate.plan import TenantPlan
from entra_pipeline.simulator.generate.policies import policies
from entra_pipeline.simulator.generate.tenant import tenant
from entra_pipeline.simulator.storage.directory import Directory


def fill(directory: Directory, plan: TenantPlan) -> None:
    """Writes the tenant that the plan describes, in one transaction, and builds the indexes."""
    with directory.writing():
        loader = Loader(directory, plan)
        _directory(loader)
        policies(loader)
        tenant(loader)
        identities(loader)
        governance(loader)
        details(loader)
    directory.finish_loading()


def _directory(loader: Loader) -> None:
    """Writes every type of the directory, then the links between them."""
    organization.organization(loader)
    organization.roles(loader)
    loader.write("authenticationStrengthPolicy", organization.strengths(loader))
    made = (applications.application(loader, number) for number in range(loader.applications))
    loader.write("application", made, key="appId")
    loader.write("servicePrincipal", applications.service_principals(loader), key="appId")
    loader.write("user", (people.user(loader, number) for number in range(loader.users)), key="userPrincipalName")
    loader.write("group", (people.group(loader, number) for number in range(loader.groups)))
    if loader.plan.empty:
        return
    loader.write("administrativeUnit", (people.unit(loader, number) for number in range(loader.units)))
    loader.write("device", (people.device(loader, number) for number in range(loader.devices)))
    links.user_links(loader)
    links.group_links(loader)
    links.unit_links(loader)
    links.device_links(loader)
    applications.application_parts(loader)
    applications.assignments(loader)
    applications.grants(loader)
    links.role_assignments(loader)
    conditional_access(loader)
