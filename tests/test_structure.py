"""The structure of the code: one name for one class, rooms with floors, no circles, and a map that is true."""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = sorted(file for top in ("entra_pipeline", "assets", "resources") for file in (ROOT / top).rglob("*.py"))
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
MOST_MODULES, MOST_LINES, MOST_LINES_OF_A_CLASS, MOST_METHODS = 12, 600, 350, 25
FILE_ENDS = {"json", "pem", "key", "toml", "md", "html", "csv"}
# A package of others, a property of Graph, and a folder of a project, whose first part is a name of ours too.
NOT_OURS = {"dagster._core", "conditions.users.excludeGroups", "scopes.d"}


def test_no_two_public_classes_have_the_same_name() -> None:
    """Nor does a name for a type, such as `TableOutcome = ReadResult | ReadFailure`."""
    places = defaultdict(list)
    for file, tree in TREES.items():
        for name in _types(tree.body):
            places[name].append(str(file.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_no_room_has_too_many_modules() -> None:
    rooms = Counter(file.parent for file in FILES if file.name != "__init__.py")
    assert {str(room.relative_to(ROOT)): size for room, size in rooms.items() if size > MOST_MODULES} == {}


def test_no_file_is_too_long() -> None:
    lengths = {str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert {file: length for file, length in lengths.items() if length > MOST_LINES} == {}


def test_no_class_is_too_large() -> None:
    large = {}
    for tree in TREES.values():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            methods = sum(isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) for one in node.body)
            if lines > MOST_LINES_OF_A_CLASS or methods > MOST_METHODS:
                large[node.name] = (lines, methods)
    assert large == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports for types only, and those within functions, count."""
    left = _imports()
    # What imports nothing that is left cannot be in a circle; what remains is in one, or leads to one.
    while free := {module for module, wanted in left.items() if not wanted & left.keys()}:
        left = {module: wanted for module, wanted in left.items() if module not in free}
    assert {module: sorted(wanted & left.keys()) for module, wanted in left.items()} == {}


def _imports() -> dict[str, set[str]]:
    modules = _modules()
    found: dict[str, set[str]] = {}
    for module, tree in modules.items():
        wanted = found[module] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                wanted.update(one.name for one in node.names if one.name in modules)
            elif isinstance(node, ast.ImportFrom) and node.module:
                for one in node.names:
                    inner = f"{node.module}.{one.name}"
                    wanted.update({inner if inner in modules else node.module} & modules.keys())
        wanted.discard(module)
    return found


def _modules() -> dict[str, ast.Module]:
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): tree
        for file, tree in TREES.items()
    }


def _names(body: list[ast.stmt]) -> Iterator[str]:
    """What a module or class defines, and the attributes that `__init__` sets; of imports, those in `__all__`."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
            for inner in ast.walk(node) if node.name == "__init__" else ():
                if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
                    yield inner.attr
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            named = {one.id for target in _targets(node) for one in ast.walk(target) if isinstance(one, ast.Name)}
            yield from named
            if "__all__" in named and node.value:
                yield from (str(one.value) for one in ast.walk(node.value) if isinstance(one, ast.Constant))
        elif isinstance(node, ast.If | ast.Try):
            yield from _names([*node.body, *node.orelse])


def _types(body: list[ast.stmt]) -> Iterator[str]:
    """The public classes of a module, and its names for other types: one capital, then small letters."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            named = (target.id for target in _targets(node) if isinstance(target, ast.Name))
            yield from (name for name in named if re.match(r"[A-Z][a-z]", name))


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


class _Definitions:
    """What there is to refer to: modules by every end of their dotted name, their names, the members of classes."""

    def __init__(self) -> None:
        self.names = {module: set(_names(tree.body)) for module, tree in _modules().items()}
        self.classes: dict[str, set[str]] = defaultdict(set)
        self.bases: dict[str, list[str]] = defaultdict(list)
        for tree in TREES.values():
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    self.classes[node.name].update(_names(node.body))
                    self.bases[node.name] += [ast.unparse(base).split("[")[0] for base in node.bases]
        self.rooms = {part for module in self.names for part in module.split(".")}

    def members(self, name: str) -> set[str]:
        """The members of a class, with those that it inherits from classes of ours."""
        found = set(self.classes.get(name, ()))
        for base in self.bases.get(name, ()):
            found |= self.members(base)
        return found

    def defines(self, module: str, names: Sequence[str]) -> bool:
        """Whether a module defines a name, or a class that has the member."""
        if not names:
            return True
        here = self.names[module]
        return names[0] in here and (len(names) == 1 or self.is_member(names))

    def is_member(self, names: Sequence[str]) -> bool:
        return len(names) == 2 and names[1] in self.members(names[0])

    def has(self, reference: str) -> bool:
        """Whether a dotted reference leads somewhere; the front of a module's dotted name may be left out."""
        parts = reference.split(".")
        if self.is_member(parts):
            return True
        for length in range(len(parts), 0, -1):
            end = ".".join(parts[:length])
            if any(
                self.defines(module, parts[length:])
                for module in self.names
                if module == end or module.endswith(f".{end}")
            ):
                return True
        return False

    def is_ours(self, reference: str) -> bool:
        """Whether a reference looks like one to a module or class of ours, rather than a file, or a name of Graph."""
        first, last = reference.split(".")[0], reference.rsplit(".")[-1]
        if last in FILE_ENDS or reference in NOT_OURS:
            return False
        return first in self.rooms or first in self.classes


def test_everything_on_the_map_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| question | answer |")[2].partition("\n## ")[0]
    defined, missing, checked = _Definitions(), [], 0
    for row in table.splitlines()[2:]:
        path = ""
        for quoted in re.findall(r"`([^`]+)`", row.split("|")[2]):
            checked += 1
            if "/" in quoted:
                path = quoted
                if not (ROOT / path).exists():
                    missing.append(path)
                continue
            module = path.removesuffix(".py").strip("/").replace("/", ".")
            # A name after a folder is defined in one of its modules.
            within = [one for one in defined.names if one == module or one.startswith(f"{module}.")]
            if not any(defined.defines(one, quoted.split(".")) for one in within):
                missing.append(f"{path}: {quoted}")
    assert checked > 100
    assert missing == []


def test_modules_and_classes_named_in_docstrings_exist() -> None:
    defined, missing, checked = _Definitions(), [], 0
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for reference in re.findall(r"`([A-Za-z_]\w*(?:\.\w+)+)`", ast.get_docstring(node) or ""):
                if defined.is_ours(reference):
                    checked += 1
                    if not defined.has(reference):
                        missing.append(f"{file.relative_to(ROOT)}: {reference}")
    assert checked > 100
    assert missing == []


def test_what_tests_and_benchmarks_import_exists() -> None:
    """Benchmarks, the storm and commands of tests are imported by no test."""
    defined, missing, checked = _Definitions(), [], 0
    for file in sorted(file for top in ("tests", "benchmarks") for file in (ROOT / top).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.module not in defined.names:
                continue
            for one in node.names:
                checked += 1
                if one.name not in defined.names[node.module] and f"{node.module}.{one.name}" not in defined.names:
                    missing.append(f"{file.relative_to(ROOT)}: {node.module}.{one.name}")
    assert checked > 1_000
    assert missing == []


def test_rooms_of_tests_share_only_what_is_in_support() -> None:
    foreign = []
    for file in sorted((ROOT / "tests").rglob("*.py")):
        own = file.relative_to(ROOT).parts[1]
        for name in re.findall(r"^\s*from tests\.(\w+)", file.read_text(encoding="utf-8"), re.MULTILINE):
            if name not in {own, "support"}:
                foreign.append(f"{file.relative_to(ROOT)}: tests.{name}")
    assert foreign == []
