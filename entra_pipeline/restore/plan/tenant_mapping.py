"""From one tenant to another: a recovery point as the other tenant could hold it, and what cannot cross.

What belongs here: domains, and objects that the other tenant cannot hold. What does not: ids (`diff` knows objects
that both tenants have by what makes them unique, `references` puts their ids in place), and what is written
(`planner`).

Facts:

- A sign-in name, and an identifier URI that names a host, need a domain that is verified in the tenant; a domain is
  verified in one tenant at a time (Graph doc: user-post-users, application identifierUris restrictions, domain).
- Addresses in a domain that is mapped follow it wherever they stand: `userPrincipalName`, `mail`, `otherMails`,
  `proxyAddresses`, `identities`, contacts for notices, rules of dynamic groups. In the other tenant nobody would get
  what is sent to the old ones. Addresses in other domains stay; so do web addresses (`redirectUris`, `homepage` …),
  which are where an application runs, and not where its users are.
- Microsoft's own objects have the same id in every tenant (roles, authentication strengths, templates), or the same
  `appId` (enterprise applications such as Microsoft Graph).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec

from entra_pipeline.analysis.changes import reading
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.errors import NotInStore, UsageError
from entra_pipeline.restore.plan.diff import Side, namesakes
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.manifest import TableEntry, canonical, seal
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, sql_text

_OBJECT = msgspec.json.Decoder(dict[str, Any])


class Unsupported(NamedTuple):
    """Why an object cannot be in the other tenant.

    Attributes:
        reason: Why.
        remedy: What to do; empty when nothing can be done.
    """

    reason: str
    remedy: str = ""


class TenantMapping(NamedTuple):
    """A recovery point on its way to another tenant.

    Attributes:
        point: The recovery point with the other tenant's domains; ids are still its own.
        domains: Domain of the recovery point → domain of the other tenant, of those that differ.
        unsupported: Objects that cannot be in the other tenant, by id.
        identity: Id at the recovery point → id in the other tenant, of what both have: the same enterprise application,
            role, sign-in name.
    """

    point: Side
    domains: dict[str, str]
    unsupported: dict[str, Unsupported]
    identity: dict[str, str]


def map_to_tenant(
    point: Side, live: Side, folder: Path, given: Mapping[str, str] | None = None, *, by_name: bool = False
) -> TenantMapping:
    """Makes a recovery point ready for another tenant.

    Each verified domain goes to the one that `given` says; else it stays if it is verified in the other tenant, too;
    else the initial domain (`….onmicrosoft.com`) goes to the other's initial domain, and the default domain to the
    other's default domain. What lives in any other domain is unsupported.

    Args:
        point: The recovery point.
        live: A recovery point that shows the other tenant.
        folder: Where the changed copy goes.
        given: Domain → domain in the other tenant.
        by_name: As in `matching.compare_namesakes`.

    Raises:
        UsageError: A domain that is given is none of the recovery point's, or not verified in the other tenant.
        NotInStore: One of the points does not have domains.
        StoreError: A file cannot be read.
    """
    there, here = _domains(point), _domains(live)
    mapping = _mapping(there, here, {old.lower(): new.lower() for old, new in (given or {}).items()})
    unsupported = _unsupported(point, live, set(there) - set(here) - set(mapping), set(here) - set(there))
    moved = {old: new for old, new in mapping.items() if old != new}
    changed = copied(point, folder, moved)
    return TenantMapping(changed, moved, unsupported, _same(changed, live, by_name=by_name))


def copied(point: Side, folder: Path, domains: Mapping[str, str] | None = None) -> Side:
    """Copies a recovery point into a store of its own, with some domains replaced.

    Args:
        point: The recovery point.
        folder: Where the store goes.
        domains: Domain → the one that takes its place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = ScopeStore(LocalObjectStore(folder), point.store.scope)
    key = point.manifest.recovery_point
    with connect(point.store.files) as connection:
        tables = {
            name: _table(connection, point, store, folder, entry, domains or {})
            for name, entry in point.manifest.tables.items()
        }
    manifest = seal(msgspec.structs.replace(point.manifest, tables=tables))
    store.files.replace(store.manifest_key(key), canonical(manifest))
    return Side(store, manifest)


# --- domains ---------------------------------------------------------------------------------------------------------


def _domains(side: Side) -> dict[str, dict[str, Any]]:
    """Reads the verified domains of a tenant, by lower-case name."""
    if not side.has("domains"):
        raise NotInStore(
            f"{side.manifest.recovery_point} of scope {side.store.scope!r} does not have the tenant's domains",
            remedy="Add domains to the scope's `protect`, and back up again.",
        )
    with connect(side.store.files) as connection:
        rows = connection.execute(side.state("domains", "_raw")).fetchall()
    every = (_OBJECT.decode(raw) for (raw,) in rows)
    return {str(one["id"]).lower(): one for one in every if one.get("isVerified")}


def _mapping(
    there: Mapping[str, dict[str, Any]], here: Mapping[str, dict[str, Any]], given: Mapping[str, str]
) -> dict[str, str]:
    """Maps the domains of the recovery point to domains of the other tenant."""
    if unknown := sorted(given.keys() - there.keys()):
        raise UsageError(
            f"{', '.join(unknown)}: not a domain of the recovery point",
            remedy=f"Its domains are {', '.join(sorted(there))}.",
        )
    if unknown := sorted(set(given.values()) - here.keys()):
        raise UsageError(
            f"{', '.join(unknown)}: not verified in the other tenant", remedy=f"Verified are {', '.join(sorted(here))}."
        )
    found = dict(given)
    for name, domain in there.items():
        for kind in ("isInitial", "isDefault"):
            like = next((other for other, one in here.items() if one.get(kind)), "")
            if name not in found and name not in here and domain.get(kind) and like:
                found[name] = like
    return found


def _host(domains: Iterable[str]) -> re.Pattern[str]:
    """Builds the pattern of a URI whose host is one of the domains, or below it."""
    listed = "|".join(re.escape(one) for one in sorted(domains))
    return re.compile(rf"(?i)^((?:api|https?)://(?:[^/:@]*\.)?)({listed})(?=[/:]|$)")


# --- the copy --------------------------------------------------------------------------------------------------------


def _table(
    connection: duckdb.DuckDBPyConnection,
    point: Side,
    store: ScopeStore,
    folder: Path,
    entry: TableEntry,
    domains: Mapping[str, str],
) -> TableEntry:
    """Copies the state of a table as one base."""
    if not entry.parts:
        return entry
    source = point.state(entry.table, "*")
    if entry.kind == "edges":
        query = f"SELECT *, 'upsert' AS _change, NULL::VARCHAR AS _reason FROM ({source})"
    else:
        body = "_raw"
        for old, new in sorted(domains.items()):
            # What follows must not be more of a name; a dot may end a sentence.
            pattern = rf"(?i)@{re.escape(old)}(\.?([^A-Za-z0-9.-]|$))"
            body = f"regexp_replace({body}, {sql_text(pattern)}, {sql_text(f'@{new}')} || '\\1', 'g')"
        query = f"SELECT * REPLACE ({body} AS _raw), 'upsert' AS _change FROM ({source})"
    if entry.table == "applications" and domains:
        _uris(connection, query, domains)
        query = (
            "SELECT * EXCLUDE (_moved) REPLACE (coalesce(_moved, _raw) AS _raw) "
            f"FROM ({query}) LEFT JOIN _uris USING (id)"
        )
    path = folder / f"{entry.table}.parquet"
    connection.execute(f"COPY ({query}) TO {sql_text(str(path))} (FORMAT parquet)")
    key = point.manifest.recovery_point
    part = store.staging.write_part(key, entry.table, 0, path, role="base", rows=entry.live)
    path.unlink(missing_ok=True)
    return msgspec.structs.replace(entry, parts=(part,))


def _uris(connection: duckdb.DuckDBPyConnection, source: str, domains: Mapping[str, str]) -> None:
    """Fills the table `_uris` with applications whose identifier URIs change their host."""
    host = _host(domains)

    def moved(uri: str) -> str:
        return host.sub(lambda match: match[1] + domains[match[2].lower()], uri)

    connection.execute("CREATE OR REPLACE TEMP TABLE _uris (id VARCHAR, _moved VARCHAR)")
    rows = connection.execute(f"SELECT id, _raw FROM ({source})").fetchall()
    for id_, raw in rows:
        body = _OBJECT.decode(raw)
        uris = [str(one) for one in body.get("identifierUris") or ()]
        if uris != (after := [moved(one) for one in uris]):
            text = msgspec.json.encode({**body, "identifierUris": after}).decode()
            connection.execute("INSERT INTO _uris VALUES (?, ?)", [id_, text])


# --- what cannot cross -----------------------------------------------------------------------------------------------


def _unsupported(point: Side, live: Side, homeless: set[str], here: set[str]) -> dict[str, Unsupported]:
    """Finds the objects that the other tenant cannot hold.

    Args:
        point: The recovery point.
        live: The other tenant.
        homeless: Domains of the point that have no place in the other tenant.
        here: Domains that only the other tenant has.
    """
    found: dict[str, Unsupported] = {}
    if point.manifest.tenant_id == live.manifest.tenant_id:
        return found
    with reading(point.store) as connection:
        for id_, name, mail, kind in _rows(connection, point, "users", "userPrincipalName", "mail", "userType"):
            domain = name.rpartition("@")[2].lower()
            if domain in homeless:
                found[id_] = Unsupported(
                    f"the domain {domain} is not mapped to a domain of the other tenant", _map(domain)
                )
            elif kind == "Guest" and mail.rpartition("@")[2].lower() in here:
                found[id_] = Unsupported("a guest whose home tenant is the target tenant")
        host = _host(homeless)
        for id_, listed in _rows(connection, point, "applications", "identifierUris") if homeless else ():
            uris = [match[2].lower() for one in msgspec.json.decode(listed or "[]") if (match := host.match(one))]
            if uris:
                found[id_] = Unsupported(f"its identifier URI needs the domain {uris[0]}", _map(uris[0]))
        for id_, tenant in _rows(connection, point, "cross_tenant_access_policy_partners", "tenantId"):
            if tenant.lower() == live.manifest.tenant_id.lower():
                found[id_] = Unsupported("the partner is the other tenant itself")
    return found


def _same(point: Side, live: Side, *, by_name: bool) -> dict[str, str]:
    """Finds objects that both tenants have, by their unique properties."""
    found: dict[str, str] = {}
    with reading(point.store, live.store) as connection:
        for table, entry in CATALOGUE.items():
            if point.has(table) and live.has(table):
                pairs = namesakes(connection, point, live, entry, by_name=by_name)
                found |= {old: one.live_id for old, one in pairs.items() if one.same}
    return found


def _map(domain: str) -> str:
    return f"Map it to a domain of the other tenant: --domain {domain}=<domain>."


def _rows(connection: duckdb.DuckDBPyConnection, side: Side, table: str, *names: str) -> list[tuple[str, ...]]:
    """Reads properties of a table's objects as text; empty where there are none."""
    if not side.has(table):
        return []
    columns = (f"coalesce(_raw->>{sql_text(f'$.{name}')}, '') AS c{n}" for n, name in enumerate(names))
    return connection.execute(f"SELECT id, {', '.join(columns)} FROM ({side.state(table, '*')})").fetchall()
