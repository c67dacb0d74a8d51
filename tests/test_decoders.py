"""Decoders of stored types are made once, at import: several threads that are the first to use a type end the process.

msgspec prepares a type when it is first decoded, without keeping other threads out: they use the half-made description,
and the process dies of a segmentation fault. A `Decoder` prepares its type when it is made.
"""

import ast
import importlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect

import entra_pipeline

ROOT = Path(entra_pipeline.__file__).parents[1]
SOURCES = sorted(file for folder in ("entra_pipeline", "assets", "resources") for file in (ROOT / folder).rglob("*.py"))
DECODERS = (msgspec.json.Decoder, msgspec.msgpack.Decoder)
THREADS = 16


def calls(file: Path) -> Iterator[tuple[ast.Call, str]]:
    """The calls in a file, and what each calls."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def module_decoders() -> dict[str, Any]:
    """Every decoder that a module makes at import, by module and name."""
    found = {}
    for file in SOURCES:
        if "Decoder(" in file.read_text():
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for name, value in vars(importlib.import_module(module)).items():
                if isinstance(value, DECODERS):
                    found[f"{module}.{name}"] = value
    return found


def sample(kind: inspect.Type) -> Any:
    """A value of a type, with every member that the type has."""
    match kind:
        case inspect.StructType() | inspect.DataclassType():
            members = {field.encode_name: sample(field.type) for field in kind.fields}
            return list(members.values()) if getattr(kind, "array_like", False) else members
        case inspect.DictType():
            return {"a": sample(kind.value_type)}
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return [sample(kind.item_type)]
        case inspect.TupleType():
            return [sample(one) for one in kind.item_types]
        case inspect.NamedTupleType():
            return [sample(field.type) for field in kind.fields]
        case inspect.UnionType():
            return sample(kind.types[0])
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.EnumType():
            return next(iter(kind.cls)).value
        case inspect.DateTimeType():
            return "2026-11-23T05:00:00Z"
        case inspect.DateType():
            return "2026-11-23"
        case inspect.BoolType():
            return True
        case inspect.IntType() | inspect.FloatType():
            return 1
        case inspect.NoneType():
            return None
        case inspect.BytesType():
            return b""
        case inspect.StrType() | inspect.RawType() | inspect.AnyType() | inspect.CustomType():
            return "a"
    raise AssertionError(f"no sample of {kind}")


def decode_at_once(decoder: Any, data: bytes) -> list[Exception]:
    """Decodes in many threads that begin together, and change places as often as they can."""
    barrier, failed = threading.Barrier(THREADS), []

    def work() -> None:
        barrier.wait()
        try:
            decoder.decode(data)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return failed


def main() -> None:
    """Has threads use every decoder for the first time; run in a process of its own."""
    decoders = module_decoders()
    # What `inspect` looks at it does not prepare: the samples are of no help to the decoders.
    work = [
        (name, one, (msgspec.json if isinstance(one, DECODERS[0]) else msgspec.msgpack).encode(sample(info)))
        for name, one in decoders.items()
        for info in [inspect.type_info(one.type)]
    ]
    sys.setswitchinterval(1e-6)
    failed = [(name, errors) for name, one, data in work if (errors := decode_at_once(one, data))]
    if failed or not work:
        sys.exit(f"{len(work)} decoders: {failed}")


def test_no_type_is_given_with_each_decode() -> None:
    bad = [
        f"{file.relative_to(ROOT)}:{call.lineno}"
        for file in SOURCES
        for call, name in calls(file)
        if name in {"msgspec.json.decode", "msgspec.msgpack.decode"}
        and (len(call.args) > 1 or any(k.arg == "type" for k in call.keywords))
    ]
    assert bad == []


def test_what_is_converted_has_a_decoder() -> None:
    ready = {one.type.__name__ for one in module_decoders().values() if isinstance(one.type, type)}
    wanted = {ast.unparse(call.args[1]) for file in SOURCES for call, name in calls(file) if name == "msgspec.convert"}
    assert wanted <= ready


@pytest.mark.parametrize("process", range(3))
def test_threads_that_are_the_first_to_decode_any_stored_type_do_not_end_the_process(process: int) -> None:
    ran = subprocess.run([sys.executable, "-m", "tests.test_decoders"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


if __name__ == "__main__":
    main()
