"""Licences and sources of all dependencies against deny.toml, and known vulnerabilities where their database is on this machine.

    check_dependencies.py [--database FOLDER]

Reads what `cargo metadata` says and needs no network. The database of advisories is a clone of https://github.com/rustsec/advisory-db; without
--database (or ADVISORY_DB) it is looked for where cargo-audit and cargo-deny keep theirs. What was not checked is said. Exit status: 0 all is
allowed, 1 something is not, 2 it cannot be said.
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


def told(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        print(f"{' '.join(command)} failed: {done.stderr.strip()}", file=sys.stderr)
        sys.exit(2)
    return done.stdout


def packages(cargo):
    """The packages that are built here, tests included: those of `cargo tree`, for `cargo metadata` also lists what no feature asks for.
    What other systems need was not fetched, and is not part of it."""
    host = re.search(r"^host: (.+)$", told("rustc", "-vV"), re.MULTILINE)[1]
    given = ["--locked", "--offline"]
    tree = told(cargo, "tree", "--workspace", "--edges", "normal,build,dev", "--prefix", "none", "--target", host, *given)
    built = set(re.findall(r"^(\S+) v(\S+)", tree, re.MULTILINE))
    metadata = json.loads(told(cargo, "metadata", "--format-version", "1", "--filter-platform", host, *given))
    return [package for package in metadata["packages"] if package["source"] and (package["name"], package["version"]) in built]


def is_allowed(expression, allowed):
    """Whether an SPDX expression can be met by what is allowed. `/` is an old way to write OR."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def take():
        nonlocal position
        position += 1
        return tokens[position - 1] if position <= len(tokens) else ""

    def peek():
        return tokens[position] if position < len(tokens) else ""

    def one():
        name = take()
        if name == "(":
            met = either()
            if take() != ")":
                raise ValueError(expression)
            return met
        if not name or name in ("OR", "AND", "WITH", ")"):
            raise ValueError(expression)
        if peek() == "WITH":
            take()
            name = f"{name} WITH {take()}"
        return name in allowed

    def all_of():
        met = one()
        while peek() == "AND":
            take()
            met = one() and met
        return met

    def either():
        met = all_of()
        while peek() == "OR":
            take()
            met = all_of() or met
        return met

    met = either()
    if position != len(tokens):
        raise ValueError(expression)
    return met


def parts(version):
    """A version as what it is ordered by: a release is behind what comes before it."""
    numbers, _, before = version.split("+")[0].partition("-")
    numbers = [int(number) for number in numbers.split(".")]
    numbers += [0] * (3 - len(numbers))
    before = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in before.split(".")] if before else []
    return tuple(numbers), not before, before


def fits(version, requirement):
    """Whether a version is among those that a requirement of Cargo names."""
    version = parts(version)
    for bound in requirement.split(","):
        operator, named = re.fullmatch(r"\s*(>=|<=|>|<|=|\^|~)?\s*([0-9][0-9A-Za-z.+-]*)\s*", bound).groups()
        least = parts(named)
        given = named.split("-")[0].split("+")[0].count(".") + 1
        (major, minor, patch), _, _ = least
        if operator in (None, "^"):
            if major or given == 1:
                next_one = f"{major + 1}.0.0-0"
            elif minor or given == 2:
                next_one = f"0.{minor + 1}.0-0"
            else:
                next_one = f"0.0.{patch + 1}-0"
            fit = least <= version < parts(next_one)
        elif operator == "~":
            next_one = f"{major}.{minor + 1}.0-0" if given > 1 else f"{major + 1}.0.0-0"
            fit = least <= version < parts(next_one)
        elif operator == "=":
            # As many numbers as are named.
            fit = version[0][:given] == least[0][:given] and (given < 3 or version == least)
        else:
            fit = {">=": version >= least, "<=": version <= least, ">": version > least, "<": version < least}[operator]
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
    """What is known against this version of a crate: a vulnerability, or a warning of another kind."""
    for file in sorted((database / "crates" / package["name"]).glob("RUSTSEC-*.md")):
        text = file.read_text()
        front = re.match(r"```toml\n(.*?)\n```", text, re.DOTALL)
        if not front:
            raise ValueError(f"{file}: expected an advisory, found no table at its beginning")
        entry = tomllib.loads(front[1])
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
    found = packages(os.environ.get("CARGO", "cargo"))
    refused, warned = [], []
    for package in found:
        name = f"{package['name']} {package['version']}"
        if package["source"] not in registries:
            refused.append(f"{name}: comes from {package['source']}, which deny.toml does not allow")
        try:
            if not is_allowed(package["license"] or "", allowed):
                refused.append(f"{name}: its licence {package['license']} is none that deny.toml allows")
        except ValueError:
            refused.append(f"{name}: its licence is {package['license'] or 'not given'}, which is no SPDX expression")
    database = find_database(options.database)
    if database:
        for package in found:
            for number, kind, title in advisories(database, package):
                line = f"{package['name']} {package['version']}: {number}: {title}"
                if kind:
                    warned.append(f"{line} ({kind})")
                elif number not in ignored:
                    refused.append(line)
    checked = f"licences and sources of {len(found)} dependencies" + (" and advisories against them" if database else "")
    for line in warned:
        print(f"warning: {line}", file=sys.stderr)
    for line in refused:
        print(f"error: {line}", file=sys.stderr)
    print(f"{checked}: {len(refused)} refused, {len(warned)} warnings")
    if not database:
        print(
            "not checked: known vulnerabilities, for their database is not on this machine "
            "(git clone https://github.com/rustsec/advisory-db ~/.cargo/advisory-db)"
        )
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    main()
