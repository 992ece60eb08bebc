"""Checks licences and sources of all dependencies against deny.toml, and advisories if their database is on this machine.

    check_dependencies.py [--database FOLDER]

Reads the output of `cargo metadata` and needs no network. The advisory database is a clone of https://github.com/rustsec/advisory-db; without
--database (or ADVISORY_DB) it is looked for where cargo-audit and cargo-deny keep theirs. What was not checked is reported. Exit status: 0 if
everything is allowed, 1 if something is not, 2 if it cannot be decided.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def output_of(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        print(f"{' '.join(command)} failed: {done.stderr.strip()}", file=sys.stderr)
        sys.exit(2)
    return done.stdout


def packages(cargo):
    """The packages that are built here, tests included: those of `cargo tree`, since `cargo metadata` also lists packages of unused
    features. Packages for other systems are not included: they were not fetched."""
    host = re.search(r"^host: (.+)$", output_of("rustc", "-vV"), re.MULTILINE)[1]
    flags = ["--locked", "--offline"]
    tree = output_of(cargo, "tree", "--workspace", "--edges", "normal,build,dev", "--prefix", "none", "--target", host, *flags)
    built = set(re.findall(r"^(\S+) v(\S+)", tree, re.MULTILINE))
    metadata = json.loads(output_of(cargo, "metadata", "--format-version", "1", "--filter-platform", host, *flags))
    return [package for package in metadata["packages"] if package["source"] and (package["name"], package["version"]) in built]


def is_allowed(expression, allowed):
    """Whether the allowed licences satisfy an SPDX expression. `/` is an old notation of OR."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def take():
        nonlocal position
        position += 1
        return tokens[position - 1] if position <= len(tokens) else ""

    def peek():
        return tokens[position] if position < len(tokens) else ""

    def parse_term():
        name = take()
        if name == "(":
            met = parse_or()
            if take() != ")":
                raise ValueError(expression)
            return met
        if not name or name in ("OR", "AND", "WITH", ")"):
            raise ValueError(expression)
        if peek() == "WITH":
            take()
            name = f"{name} WITH {take()}"
        return name in allowed

    def parse_and():
        met = parse_term()
        while peek() == "AND":
            take()
            met = parse_term() and met
        return met

    def parse_or():
        met = parse_and()
        while peek() == "OR":
            take()
            met = parse_and() or met
        return met

    met = parse_or()
    if position != len(tokens):
        raise ValueError(expression)
    return met


def sort_key(version):
    """A key by which versions sort: a release comes after its pre-releases."""
    numbers, _, pre_release = version.split("+")[0].partition("-")
    numbers = [int(number) for number in numbers.split(".")]
    numbers += [0] * (3 - len(numbers))
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre_release.split(".")] if pre_release else []
    return tuple(numbers), not parts, parts


def fits(version, requirement):
    """Whether a version satisfies a requirement of Cargo."""
    version = sort_key(version)
    for bound in requirement.split(","):
        operator, named = re.fullmatch(r"\s*(>=|<=|>|<|=|\^|~)?\s*([0-9][0-9A-Za-z.+-]*)\s*", bound).groups()
        minimum = sort_key(named)
        components = named.split("-")[0].split("+")[0].count(".") + 1
        (major, minor, patch), _, _ = minimum
        if operator in (None, "^"):
            if major or components == 1:
                upper = f"{major + 1}.0.0-0"
            elif minor or components == 2:
                upper = f"0.{minor + 1}.0-0"
            else:
                upper = f"0.0.{patch + 1}-0"
            fit = minimum <= version < sort_key(upper)
        elif operator == "~":
            upper = f"{major}.{minor + 1}.0-0" if components > 1 else f"{major + 1}.0.0-0"
            fit = minimum <= version < sort_key(upper)
        elif operator == "=":
            # Only the numbers that are given count.
            fit = version[0][:components] == minimum[0][:components] and (components < 3 or version == minimum)
        else:
            fit = {">=": version >= minimum, "<=": version <= minimum, ">": version > minimum, "<": version < minimum}[operator]
        if not fit:
            return False
    return True


def find_database(named):
    if named:
        if not (Path(named) / "crates").is_dir():
            print(f"{named}: expected a clone of https://github.com/rustsec/advisory-db, found no folder crates", file=sys.stderr)
            sys.exit(2)
        return Path(named)
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    known = [home / "advisory-db", *sorted((home / "advisory-dbs").glob("*"))]
    return next((folder for folder in known if (folder / "crates").is_dir()), None)


def advisories(database, package):
    """The advisories on this version of a crate: vulnerabilities, and warnings of other kinds."""
    for file in sorted((database / "crates" / package["name"]).glob("RUSTSEC-*.md")):
        text = file.read_text()
        front_matter = re.match(r"```toml\n(.*?)\n```", text, re.DOTALL)
        if not front_matter:
            raise ValueError(f"{file}: expected an advisory, found no table at its beginning")
        entry = tomllib.loads(front_matter[1])
        versions, advisory = entry.get("versions", {}), entry["advisory"]
        safe = versions.get("patched", []) + versions.get("unaffected", [])
        if "withdrawn" in advisory or any(fits(package["version"], requirement) for requirement in safe):
            continue
        title = re.search(r"^# (.+)$", text, re.MULTILINE)
        yield advisory["id"], advisory.get("informational"), title[1] if title else ""


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--database", default=os.environ.get("ADVISORY_DB"))
    options = arguments.parse_args()
    settings = tomllib.loads((ROOT / "deny.toml").read_text())
    allowed = set(settings["licenses"]["allow"])
    registries = {f"registry+{registry}" for registry in settings["sources"]["allow-registry"]}
    ignored = set(settings["advisories"]["ignore"])
    dependencies = packages(os.environ.get("CARGO", "cargo"))
    errors, warnings = [], []
    for package in dependencies:
        name = f"{package['name']} {package['version']}"
        if package["source"] not in registries:
            errors.append(f"{name}: comes from {package['source']}, which deny.toml does not allow")
        try:
            if not is_allowed(package["license"] or "", allowed):
                errors.append(f"{name}: its licence {package['license']} is not allowed by deny.toml")
        except ValueError:
            errors.append(f"{name}: its licence is {package['license'] or 'not given'}, which is not an SPDX expression")
    database = find_database(options.database)
    if database:
        for package in dependencies:
            for advisory, kind, title in advisories(database, package):
                line = f"{package['name']} {package['version']}: {advisory}: {title}"
                if kind:
                    warnings.append(f"{line} ({kind})")
                elif advisory not in ignored:
                    errors.append(line)
    checked = f"licences and sources of {len(dependencies)} dependencies" + (" and advisories on them" if database else "")
    for line in warnings:
        print(f"warning: {line}", file=sys.stderr)
    for line in errors:
        print(f"error: {line}", file=sys.stderr)
    print(f"{checked}: {len(errors)} errors, {len(warnings)} warnings")
    if not database:
        print(
            "not checked: known vulnerabilities, since their database is not on this machine "
            "(git clone https://github.com/rustsec/advisory-db ~/.cargo/advisory-db)"
        )
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
