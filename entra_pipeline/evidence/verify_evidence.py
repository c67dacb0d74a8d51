#!/usr/bin/env python3
"""Checks a file that `entra-pipeline evidence` made.

    python3 verify_evidence.py FILE PUBLIC_KEY

Needs Python 3.10 and the package `cryptography`; no network, no storage, nothing of entra-pipeline. PUBLIC_KEY is the
43 characters that `entra-pipeline storage sign NAME` shows, or the name of a file with them. Get it from the
administrators by another way than the file. Exit codes: 0 all is as it was signed, 1 something is not, 2 the file
cannot be read. docs/evidence.md describes the format.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE = re.compile(rb',"signature":"([0-9a-f]{16}\.[A-Za-z0-9_-]{86})"(\}\n)\Z')
# What reading JSON raises that is not of the shape that was written.
MALFORMED = (KeyError, TypeError, ValueError, AttributeError)
SIGNATURE_CHECK = "signature of the evidence"
ITEMS = ("settings", "points", "jobs", "drills", "restores", "holds", "prunes", "heads", "coverage")
CheckRow = tuple[str, str, int | str, list[str]]


class NotEvidence(Exception):
    """The file is no evidence, or is of a later version."""


def sha256(data: bytes) -> str:
    """Returns the SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def unpadded(text: str) -> bytes:
    """Decodes base64url without padding; raises ValueError for any other spelling of the same bytes."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != text:
        raise ValueError("is not canonical base64url")
    return data


def key_id(public_key: str) -> str:
    """Returns the id of a public key, given as base64url."""
    return sha256(unpadded(public_key))[:16]


def verifies(public_key: str, signature: str, message: bytes) -> bool:
    """Tells whether a signature (base64url) of a message is of a key (base64url)."""
    try:
        Ed25519PublicKey.from_public_bytes(unpadded(public_key)).verify(unpadded(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def split(stored: bytes) -> tuple[bytes, str]:
    """Returns the bytes of a record without its signature, and the signature; empty when it has none."""
    found = SIGNATURE.search(stored)
    return (stored[: found.start()] + found[2], found[1].decode()) if found else (stored, "")


class TrustedKeys:
    """The public keys that are trusted: the one given, and those that a trusted one vouches for, either way."""

    def __init__(self, given: str, records: list[Any]) -> None:
        self.trusted = {key_id(given): given} if given else {}
        while new := {key_id(key): key for one in records for key in self._vouched(one)}.items() - self.trusted.items():
            self.trusted.update(new)

    def _vouched(self, record: Any) -> list[str]:
        try:
            return self._keys(json.loads(record["stored"]) | record)
        except MALFORMED:
            # Whoever may write to the storage may have put it there; it vouches for nothing.
            return []

    def _keys(self, record: Any) -> list[str]:
        """Returns the keys that a trusted key vouches for in a record."""
        key, previous = record["public_key"], record.get("previous", "")
        data, signature = split(record["stored"].encode())
        message = statement(record["key"], sha256(data))
        if not previous or not verifies(key, signature.partition(".")[2], message):
            return []
        if key_id(key) in self.trusted:
            return [previous]
        introduced = f"entra-pipeline/signing-key/1\n{key}\n".encode()
        vouched = key_id(previous) in self.trusted and verifies(previous, record.get("by_previous", ""), introduced)
        return [key] if vouched else []

    def problem(self, key: str, digest: str, signature: str) -> str:
        """Returns what is wrong with the signature of a record, given its key and SHA-256; empty when nothing is."""
        signer, _, text = signature.partition(".")
        if signer not in self.trusted:
            return f"{key} is signed with the key {signer}, which is not trusted"
        return "" if verifies(self.trusted[signer], text, statement(key, digest)) else f"{key} is not what was signed"


def statement(key: str, digest: str) -> bytes:
    """Returns what a signature is over: where a record is, and its SHA-256."""
    return f"entra-pipeline/signature/1\n{key}\n{digest}\n".encode()


class EvidenceCheck:
    """The checks of a file.

    Args:
        data: Its bytes.
        public_key: The key as base64url; empty when there is none.

    Attributes:
        manifest: The last line.
        items: Name → content.
        rows: What was checked: scope, what, how many, what is wrong.
        adopted: How many records have no signature.
    """

    def __init__(self, data: bytes, public_key: str) -> None:
        *lines, last = data.splitlines(keepends=True) or [b""]
        try:
            self.manifest = json.loads(last)
            found = [json.loads(line) for line in lines]
            self.items = {one["item"]: one["content"] for one in found}
            kind, version = self.manifest["format"], self.manifest["version"]
        except (ValueError, KeyError, TypeError) as error:
            raise NotEvidence(f"a line is not JSON of the format: {error}") from error
        if (kind, version) != ("entra-pipeline/evidence", 1):
            raise NotEvidence(f"it is {kind} in version {version}; this script checks entra-pipeline/evidence 1")
        self.rows: list[CheckRow] = []
        self.adopted = 0
        self.keys = TrustedKeys(public_key, self.items.get("keys", []))
        self._file(lines, last, public_key)

    def run(self) -> None:
        """Makes the checks of the content; those of the bytes are made when the file is read."""
        scopes = self.manifest["scopes"]
        due = {f"{scope}/{name}" for scope in scopes for name in ITEMS} | {"audit", "keys", "problems"}
        self._row("", "items", len(self.items), [f"item {one} is missing" for one in sorted(due - {*self.items})])
        proofs = list(proofs_in(list(self.items.values())))
        signed = [one for one in proofs if one["signature"]]
        problems = [self.keys.problem(one["key"], one["sha256"], one["signature"]) for one in signed]
        self._row("", "signatures of records", len(signed), problems)
        for scope in scopes:
            self._scope(scope, {name: self.items.get(f"{scope}/{name}") or [] for name in ITEMS})
        self._audit(self.items.get("audit", []))
        told = self.items.get("problems", [])
        self._row("", "complete when it was made", "", [f"not in the evidence: {one}" for one in told])
        self.adopted = len(proofs) - len(signed)

    def _row(self, scope: str, what: str, number: int | str, problems: Iterable[str]) -> None:
        self.rows.append((scope, what, number, [one for one in problems if one]))

    def _file(self, lines: list[bytes], last: bytes, public_key: str) -> None:
        named = self.manifest["items"]
        there = [(json.loads(line)["item"], sha256(line)) for line in lines]
        differs = [(one["item"], one["sha256"]) for one in named] != there or len(self.items) != len(lines)
        self._row("", "SHA-256 of items", len(named), ["an item was changed, removed, added or moved"] * differs)
        data, signature = split(last)
        if not signature:
            wrong = "the evidence is not signed: anybody may have changed it"
        elif not public_key:
            wrong = "no public key was given: anybody may have signed it"
        elif not signature.startswith(f"{key_id(public_key)}."):
            # A key that was replaced, perhaps because it was stolen, vouches for records of its time and nothing else.
            wrong = (
                f"the evidence is signed with the key {signature.partition('.')[0]}, not with the one that was given"
            )
        else:
            wrong = self.keys.problem("evidence", sha256(data), signature)
        self._row("", SIGNATURE_CHECK, "", [wrong])

    # --- A scope -----------------------------------------------------------------------------------------------------

    def _scope(self, scope: str, items: Any) -> None:
        self._row(scope, "chain of recovery points", len(items["points"]), chain_problems(items["points"]))
        self._row(scope, "chain of prune records", len(items["prunes"]), prune_problems(items["prunes"]))
        self._row(scope, "head and list of holds", len(items["heads"]), list(self._heads(scope, items)))
        approved = [one for one in items["restores"] if "approved" in one]
        self._row(scope, "approvals of restores", len(approved), list(map(approval_problem, approved)))

    def _heads(self, scope: str, items: Any) -> Iterator[str]:
        """Compares with what the scope should have: its newest point, its prune records, its holds."""
        found = {one["key"]: one["stored"].encode() for one in items["heads"]}
        wanted = [f"_heads/{scope}/points.json", f"_heads/{scope}/holds.json"]
        if not dict(items["settings"] or {}).get("signed"):
            return
        wrong = [self._head_problem(key, found.get(key, b"")) for key in wanted]
        yield from wrong
        if any(wrong):
            return
        head, holds = (json.loads(found[key]) for key in wanted)
        digests = {one["recovery_point"]: one.get("sha256") or one["proof"]["sha256"] for one in items["points"]}
        point, end = head.get("recovery_point", ""), self.manifest["end"].replace(":", "-")
        first = self.manifest["first"].replace(":", "-")
        if first <= point < end and digests.get(point) != head["sha256"]:
            yield f"recovery point {point}, the newest when the head was written, is not here or is another"
        for lost in head.get("lost", {}):
            yield f"recovery point {lost or '(unknown)'} was removed without a prune record"
        prunes = {one["number"]: one["proof"]["sha256"] for one in items["prunes"]}
        if head.get("pruned") and prunes.get(head["pruned"]) != head["pruned_sha256"]:
            yield f"prune record {head['pruned']} is not here or is another"
        here = {one["proof"]["key"]: one["proof"]["sha256"] for one in items["holds"]}
        listed = {f"_holds/{scope}/{name}.json": digest for name, digest in holds.get("holds", {}).items()}
        if here != listed:
            yield "the holds are not those of the list of holds"

    def _head_problem(self, key: str, stored: bytes) -> str:
        data, signature = split(stored)
        if not stored or not signature:
            return f"{key} is not signed" if stored else f"{key} is missing"
        return self.keys.problem(key, sha256(data), signature)

    # --- The audit log -----------------------------------------------------------------------------------------------

    def _audit(self, events: list[Any]) -> None:
        problems = []
        for before, event in pairwise(events):
            if event["number"] != before["number"] + 1:
                problems.append(f"after event {before['number']} of the audit log, events are missing")
            elif event["previous"] != before["proof"]["sha256"]:
                problems.append(f"event {before['number']} of the audit log is not the one that the next one names")
        digests = {event["number"]: event["proof"]["sha256"] for event in events}
        for key, number, digest in self._audit_heads():
            if events and events[0]["number"] <= number <= events[-1]["number"] and digests.get(number) != digest:
                problems.append(f"event {number} of the audit log is not the one that {key} names")
            elif self.manifest["open"] and (not events or number > events[-1]["number"]):
                problems.append(f"event {number} of the audit log, which {key} names, is missing at the end")
        self._row("", "chain of the audit log", len(events), problems)

    def _audit_heads(self) -> Iterator[tuple[str, int, str]]:
        for scope in self.manifest["scopes"]:
            for one in self.items.get(f"{scope}/heads", []):
                head = json.loads(one["stored"]) if split(one["stored"].encode())[1] else {}
                if head.get("audit"):
                    yield one["key"], head["audit"], head["audit_sha256"]


def proofs_in(content: Any) -> Iterator[Any]:
    """Yields the proofs in an item, however deep."""
    if isinstance(content, dict):
        if "proof" in content:
            yield content["proof"]
        content = list(content.values())
    if isinstance(content, list):
        for one in content:
            yield from proofs_in(one)


def chain_problems(points: list[Any]) -> Iterator[str]:
    """Yields where a recovery point does not name the one before it and the SHA-256 of that one's manifest."""
    for before, point in pairwise(points):
        digest = before.get("sha256") or before["proof"]["sha256"]
        if (point["parent"], point["parent_sha256"]) != (before["recovery_point"], digest):
            yield f"recovery point {point['recovery_point']} was not made on {before['recovery_point']}"


def prune_problems(records: list[Any]) -> Iterator[str]:
    """Yields where the row of prune records has a hole, or one does not name the SHA-256 of the one before it."""
    previous = ""
    for place, record in enumerate(records, start=1):
        if (record["number"], record["previous_sha256"]) != (place, previous):
            yield f"prune record {record['number']} does not follow the one before it"
        previous = record["proof"]["sha256"]


def approval_problem(restore: Any) -> str:
    """Returns what is wrong with the approval of a restore; empty when nothing is."""
    made, approved = restore.get("made"), restore["approved"]
    if not made or made["seal"] != approved["seal"]:
        return f"what was approved for restore {restore['id']} is not the plan that was made"
    same = made["by"].strip().casefold() == approved["by"].strip().casefold()
    return f"restore {restore['id']} was approved by who planned it" if same else ""


def summary(check: EvidenceCheck) -> Iterator[str]:
    """Yields what the evidence says, as lines."""
    manifest = check.manifest
    yield f"evidence of {manifest['first']} to {manifest['end']}, made {manifest['made']} by {manifest['tool']}"
    for scope in manifest["scopes"]:
        items = {name: check.items.get(f"{scope}/{name}") or [] for name in ITEMS}
        points, coverage = items["points"], dict(items["coverage"] or {})
        good = sum(point["status"] == "finished" for point in points)
        ticks = sum(one["ticks"] for one in coverage.get("missed", []))
        yield (
            f"{scope}: recovery points: {len(points)} (without exception: {good}); times of the schedule: "
            f"{coverage.get('ticks') or 0} (missed: {ticks}); long pauses: {len(coverage.get('late', []))}; object "
            f"types not protected: {len(coverage.get('not_protected', []))}; holds: {len(items['holds'])}; restores: "
            f"{len(items['restores'])} (approved: {sum('approved' in one for one in items['restores'])})"
        )
        for drill in items["drills"]:
            yield (
                f"{scope}: drill of {drill['point']} {drill['status']} in {drill['minutes']} minutes, "
                f"{drill['properties_equal']} of {drill['properties']} properties and {drill['links_equal']} of "
                f"{drill['links']} links restored"
            )


def table(rows: list[CheckRow]) -> Iterator[str]:
    """Yields the checks as lines of a table."""
    lines = [("scope", "check", "number", "result")]
    for scope, what, number, problems in rows:
        lines.append((scope, what, str(number), "NOT OK" if problems else "ok"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def given_key(text: str) -> str:
    """Reads the public key that was given, or that is in a file; raises NotEvidence."""
    file = Path(text)
    key = file.read_text(encoding="utf-8").strip() if file.is_file() else text
    try:
        Ed25519PublicKey.from_public_bytes(unpadded(key))
    except ValueError as error:
        raise NotEvidence(f"{text} is no public key: 43 characters, as storage sign shows them") from error
    return key


def main(arguments: list[str]) -> int:
    """Checks the file and prints what was found; returns the exit code."""
    if not 1 <= len(arguments) <= 2 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        check = EvidenceCheck(Path(arguments[0]).read_bytes(), given_key(arguments[1]) if arguments[1:] else "")
        check.run()
    except (OSError, NotEvidence) as error:
        print(f"{arguments[0]} cannot be checked: {error}", file=sys.stderr)
        return 2
    except MALFORMED as error:
        print(f"NOT OK: {arguments[0]} is not what was written: {error!r}", file=sys.stderr)
        return 1
    print(*summary(check), "", *table(check.rows), sep="\n")
    problems = [problem for *_, some in check.rows for problem in some]
    if check.adopted:
        print(f"\n{check.adopted} records have no signature of their own; the evidence vouches for their SHA-256")
    print(*(f"\nNOT OK: {problem}" for problem in problems) if problems else ["\nall is as it was signed"], sep="")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
