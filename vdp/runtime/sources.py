"""Source files of components of one's own, kept in a run's folder so that it opens elsewhere.

A component from outside the package is a dotted name in the model's spec, as in
`config.model.prior.name=laplace.make`. Its module lies where somebody has written it, and not where
the run is moved to.
"""

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import pathlib
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from typing import Any

from vdp.errors import UNEXPECTED, UserError
from vdp.runtime import files

FOLDER = "source"  # in the run's
INSTALLED = ("site-packages", "dist-packages")


def modules(spec: Mapping[str, Any]) -> list[str]:
    """The modules of all dotted names in a spec and the specs inside it, each once."""
    name = spec.get("name")
    named = [name.rpartition(".")[0]] if isinstance(name, str) and "." in name else []
    inner = [m for value in spec.values() if isinstance(value, Mapping) for m in modules(value)]
    return list(dict.fromkeys(module for module in [*named, *inner] if module))


def keep(workdir: pathlib.Path, spec: Mapping[str, Any]) -> None:
    """Copies the modules of a spec's own components, and those that they import, to `source/`.

    Packages that are installed are left out; a copy that is there is replaced.

    Args:
      workdir: of the run.
      spec: of the model, which has been built: its modules are imported.
    """
    for name, path in _reached(modules(spec)).items():
        target = workdir / FOLDER / _relative(name, path)
        if target.exists() and target.samefile(path):  # the run is going on from its own copy
            continue
        with files.replacing(target) as temporary:
            temporary.write_bytes(path.read_bytes())


def changed(workdir: pathlib.Path) -> dict[pathlib.Path, pathlib.Path]:
    """{file of a module that is used now: the run's copy of it}, where the two differ.

    A module may have been installed since then: wherever it lies, it is compared.

    Args:
      workdir: of the run.
    """
    copies = _copies((workdir / FOLDER).absolute())
    pairs = [(path, copy) for name, copy in copies.items() if (path := _file_of(name))]
    return {path: copy for path, copy in pairs if copy.read_bytes() != path.read_bytes()}


def changed_names(workdir: pathlib.Path) -> list[str]:
    """The copies of `changed`, by their paths in the run's folder of sources."""
    folder = (workdir / FOLDER).absolute()
    return sorted(copy.relative_to(folder).as_posix() for copy in changed(workdir).values())


def in_use(spec: Mapping[str, Any]) -> str:
    """A hash of the files that a spec's own components are made by now; "" where it has none."""
    named = {name: path for name in modules(spec) if (path := _file_of(name))}
    return _digest(named | _reached(modules(spec)))


def fingerprint(workdir: pathlib.Path) -> str:
    """A hash of all copies in a run's folder; "" where there are none."""
    folder = workdir / FOLDER
    return _digest({str(path.relative_to(folder)): path for path in folder.rglob("*.py")})


def _digest(named: Mapping[str, pathlib.Path]) -> str:
    """A hash of files and their names; "" of none."""
    digest = hashlib.sha256()
    for name, path in sorted(named.items()):
        digest.update(f"{name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest() if named else ""


@contextlib.contextmanager
def available(workdir: pathlib.Path, spec: Mapping[str, Any]) -> Iterator[None]:
    """While it lasts, modules of a spec that are missing are imported from the run's copies.

    A module that is there goes before its copy. Which copies are used, and which modules have
    changed since the run was trained, is said on stderr.

    Args:
      workdir: of the run.
      spec: of its model.

    Raises:
      UserError: a module is neither there nor in the run's folder; it is named.
    """
    folder = (workdir / FOLDER).absolute()
    _forget_copies_of_others(folder)
    missing = [name for name in modules(spec) if not _is_there(name)]
    if lost := [name for name in missing if _copy(folder, name) is None]:
        raise UserError(
            f"this run needs the module {' and '.join(lost)}, of which {folder} has no copy: call "
            f"from the folder where {lost[0].partition('.')[0]}.py lies, or name that in PYTHONPATH"
        )
    for path, copy in changed(workdir).items():
        print(f"{path} is used; this run was trained with another one, {copy}", file=sys.stderr)
    if not missing:
        yield
        return
    print(f"{', '.join(missing)}: imported from the copies in {folder}", file=sys.stderr)
    sys.path.append(str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _reached(names: list[str]) -> dict[str, pathlib.Path]:
    """The source files of one's own modules, and of what they import from the same folders."""
    reached: dict[str, pathlib.Path] = {}
    paths = {name: path for name in names if (path := _file_of(name)) and _is_own(path)}
    roots = {_root(name, path) for name, path in paths.items()}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        path = None if name in reached else _file_of(name)
        if path is None or not _is_own(path) or _root(name, path) not in roots:
            continue
        reached[name] = path
        parents = name.split(".")[:-1]
        waiting += [".".join(parents[:depth]) for depth in range(1, len(parents) + 1)]
        waiting += _imported(name, path)
    return reached


def _root(name: str, path: pathlib.Path) -> pathlib.Path:
    """The folder on `sys.path` that a module was imported from."""
    return path.absolute().parents[len(_relative(name, path).parts) - 1]


def _imported(name: str, path: pathlib.Path) -> list[str]:
    """The modules that a file may import, as its text says; names in them may be among these."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    names: list[str] = []
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # of a file that nothing has imported yet
        return names
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names


def _file_of(name: str) -> pathlib.Path | None:
    """The source file of a module, imported or not; None where it has none or is not there."""
    origin = None
    with contextlib.suppress(*UNEXPECTED):  # of packages around it, which are imported for it
        loaded = sys.modules.get(name)
        spec = importlib.util.find_spec(name) if loaded is None else None
        origin = spec.origin if spec else getattr(loaded, "__file__", None)
    return pathlib.Path(origin) if origin and origin.endswith(".py") else None


def _is_own(path: pathlib.Path) -> bool:
    """Whether a file is neither the package's, nor installed, nor of Python's library."""
    library = [pathlib.Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    package = pathlib.Path(__file__).resolve().parent.parent
    parents = {*path.resolve().parents, *path.absolute().parents}
    return not parents.intersection({package, *library}) and not {*path.parts} & {*INSTALLED}


def _relative(name: str, path: pathlib.Path) -> pathlib.Path:
    """Where the copy of a module lies in the folder of copies."""
    folder = pathlib.Path(*name.split("."))
    return folder / "__init__.py" if path.name == "__init__.py" else folder.with_suffix(".py")


def _copies(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The modules whose copies lie in a folder, by name."""
    return {_name(path.relative_to(folder)): path for path in sorted(folder.rglob("*.py"))}


def _name(relative: pathlib.Path) -> str:
    """The module that a file in the folder of copies is of."""
    return ".".join(relative.with_suffix("").parts).removesuffix(".__init__")


def _copy(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    parts = folder.joinpath(*name.split("."))
    candidates = (parts.with_suffix(".py"), parts / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _is_there(name: str) -> bool:
    """Whether a module can be imported, or fails by itself and not because it is missing."""
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
    except UNEXPECTED:  # of a package around it, which is imported for it
        return True


def _forget_copies_of_others(folder: pathlib.Path) -> None:
    """Takes modules out of `sys.modules` that were imported from the copies of another run.

    Two runs may hold two versions under one name; objects that were made of the other go on.
    """
    for name, path in _copies(folder).items():
        relative = path.relative_to(folder)
        origin = pathlib.Path(getattr(sys.modules.get(name), "__file__", None) or "")
        root = pathlib.Path(*origin.parts[: -len(relative.parts)])
        if (
            root.name == FOLDER
            and root != folder
            and origin.parts[-len(relative.parts) :] == (relative.parts)
        ):
            del sys.modules[name]
