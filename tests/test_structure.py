"""The structure of the code: one name for one class, rooms with floors, no circles, and a map that is true."""

import ast
import re
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = sorted(file for top in ("entra_pipeline", "assets", "resources") for file in (ROOT / top).rglob("*.py"))
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
MOST_MODULES, MOST_LINES, MOST_LINES_OF_A_CLASS, MOST_METHODS = 12, 600, 350, 25
# Over a limit still.
TOO_LARGE = {"ObjectReader", "ChildReader"}


def test_no_two_public_classes_have_the_same_name() -> None:
    places = defaultdict(list)
    for file, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(file.relative_to(ROOT)))
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
            if not isinstance(node, ast.ClassDef) or node.name in TOO_LARGE:
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
    modules = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): tree
        for file, tree in TREES.items()
    }
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


def test_every_path_on_the_map_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("| question | answer |")[2].partition("\n## ")[0]
    paths = {path for path in re.findall(r"`([\w./-]+)`", table) if "/" in path}
    assert len(paths) > 20
    assert {
        path for path in paths if not any((base / path).exists() for base in (ROOT, ROOT / "entra_pipeline"))
    } == set()


def test_rooms_of_tests_share_only_what_is_in_support() -> None:
    foreign = []
    for file in sorted((ROOT / "tests").rglob("*.py")):
        own = file.relative_to(ROOT).parts[1]
        for name in re.findall(r"^\s*from tests\.(\w+)", file.read_text(encoding="utf-8"), re.MULTILINE):
            if name not in {own, "support"}:
                foreign.append(f"{file.relative_to(ROOT)}: tests.{name}")
    assert foreign == []
