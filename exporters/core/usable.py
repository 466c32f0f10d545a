"""Check that installed packages can be used here, from their metadata, with the line that repairs them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, parse_tag, sys_tags
from packaging.version import Version

from depthport.exporters.core.install import Install

_LOWER_BOUNDS = (">=", "~=", "==")


def unusable(line: Install, *packages: Iterable[str] | str) -> tuple[str, str] | None:
    """Return why packages can't be used: missing, older than depthport's extras ask for, or built for another Python.

    Args:
        line: what installs those that are missing.
        packages: names of distributions, whose modules are called as they are; of several in one argument, which
            overwrite each other's files, any will do.

    Returns:
        The reason and the line that mends it; None where all can be used.
    """
    missing, reasons, old, foreign = [], [], [], []
    for package in packages:
        names = [package] if isinstance(package, str) else list(package)
        if find_spec(names[0].replace("-", "_")) is None:
            missing.append(names[0])
            continue
        found = next((found for name in names for found in metadata.distributions(name=name)), None)
        if found is None:  # A build of one's own, or under another name: it counts as right.
            continue
        name, asked = found.metadata["Name"], _asked(found.metadata["Name"])
        if _too_old(Version(found.version), asked):
            reasons.append(f"{name} {found.version} is too old ({asked} is needed)")
            old.append(f"{name}{asked}")
        elif not _for_this_python(found):
            reasons.append(f"{name} {found.version} is built for another Python")
            foreign.append(f"{name}{asked}")
    if missing:
        reasons.insert(0, f"{', '.join(missing)} not installed")
    # An installer leaves alone what it finds in a version that was asked for.
    lines = [line, Install(tuple(old)), Install(tuple(foreign), again=True)]
    needed = [str(each) for each, why in zip(lines, (missing, old, foreign), strict=True) if why]
    return ("; ".join(reasons), " && ".join(needed)) if reasons else None


def _asked(name: str) -> SpecifierSet:
    """The versions that depthport's extras ask of a package; of one that none names, all."""
    every = (Requirement(text) for text in metadata.requires("depthport") or ())
    return next((r.specifier for r in every if r.name.lower() == name.lower().replace("_", "-")), SpecifierSet())


def _too_old(version: Version, asked: SpecifierSet) -> bool:
    # A vendor's own build (2.11.0a0+cu13) is as good as the release that it leads to.
    has = Version(version.base_version)
    return any(has < Version(bound.version) for bound in asked if bound.operator in _LOWER_BOUNDS)


def _for_this_python(package: metadata.Distribution) -> bool:
    """By the tags of its wheel; a package that was installed in another way has none, and counts as right."""
    lines = (line.partition(":") for line in (package.read_text("WHEEL") or "").splitlines())
    tags = {_python(tag) for key, _, value in lines if key == "Tag" for tag in parse_tag(value.strip())}
    return not tags or not tags.isdisjoint(map(_python, sys_tags()))


def _python(tag: Tag) -> tuple[str, str]:
    return tag.interpreter, tag.abi
