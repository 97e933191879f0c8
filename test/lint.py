#!/usr/bin/env python3
"""The house rules that no other tool knows; see extension/README.md."""
import pathlib
import re
import subprocess
import sys

FILE_LINES = 400
FUNCTION_LINES = 80
PARAMETERS = 6

TRANSACTIONS = ("executor/spi.h", "access/xact.h")
# Who may not include what, by itself or through our headers.
FORBIDDEN = {
    "http": TRANSACTIONS,
    "guard": (*TRANSACTIONS, "postgres.h"),
    "sign": (*TRANSACTIONS, "postgres.h"),
    "text": (*TRANSACTIONS, "postgres.h"),
    "answer": (*TRANSACTIONS, "postgres.h"),
    "lookup": TRANSACTIONS,
    "selftest": (*TRANSACTIONS, "postgres.h"),
    "transfer": TRANSACTIONS,
    "retry": (*TRANSACTIONS, "postgres.h"),
    "queue": ("curl/",),
}
# Split, so that this file keeps the rule.
MACHINE_PATHS = re.compile("/(wor" "k|roo" "t|hom" "e/[a-z]+)/")

complaints = []


def complain(path, line, what):
    complaints.append(f"{path}:{line}: {what}")


def own_files():
    """All files but git's and what a build makes."""
    built = {".o", ".so", ".bc", ".pyc"}
    for path in sorted(pathlib.Path().rglob("*")):
        if path.is_file() and path.suffix not in built and \
                not {".git", "build", "node_modules"} & set(path.parts):
            yield path


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def check_text(path):
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    for match in MACHINE_PATHS.finditer(text):
        complain(path, line_of(text, match.start()), "a path of one machine")
    length = text.count("\n")
    if path.parts[0] == "extension" and length > FILE_LINES:
        complain(path, FILE_LINES, f"{length} lines, {FILE_LINES} are enough")


def check_functions():
    """Their length and parameters, as ctags sees them."""
    files = [str(path) for path in own_files()
             if path.suffix in (".c", ".h")]
    found = subprocess.run(
        ["ctags", "-x", "--languages=C,C++", "--kinds-C=f", "--kinds-C++=f",
         "--fields=+neS", "--_xformat=%F\t%n\t%e\t%N\t%S", *files],
        check=True, capture_output=True, text=True).stdout
    for entry in found.splitlines():
        path, first, last, name, signature = entry.split("\t")
        length = int(last or first) - int(first) + 1
        if length > FUNCTION_LINES:
            complain(path, first, f"{name} has {length} lines")
        parameters = signature.count(",") + 1
        # The types of hooks of the server and of OpenSSL.
        if "ProcessUtilityContext" in signature or "SSL *" in signature:
            continue
        if parameters > PARAMETERS and path.startswith("extension"):
            complain(path, first, f"{name} has {parameters} parameters")


def includes(path, seen):
    """What a file includes, followed through our own headers."""
    seen.add(path)
    for name in re.findall(r'^#include ["<](.+)[">]', path.read_text(),
                           re.MULTILINE):
        yield name
        ours = path.parent / name
        if ours.exists() and ours not in seen:
            yield from includes(ours, seen)


def check_includes(path):
    room = path.stem.split("_")[0]
    for name in includes(path, set()):
        if name.startswith(FORBIDDEN.get(room, ())):
            complain(path, 1, f"{room} may not include {name}")


def check_versions(path):
    text = path.read_text()
    for match in re.finditer("PG_VERSION_NUM", text):
        if path.name != "compat.h":
            complain(path, line_of(text, match.start()),
                     "PG_VERSION_NUM belongs in compat.h")


def blank(match):
    """White space with the same lines."""
    return re.sub(r"[^\n]", " ", match.group())


def check_sql(path):
    text = re.sub(r"--[^\n]*", blank, path.read_text())
    outside = re.sub(r"(\$\w*\$).*?\1|'[^']*'", blank, text, flags=re.DOTALL)
    for match in re.finditer(
            r"\bcreate\s+or\s+replace\b|\bif\s+not\s+exists\b", outside):
        complain(path, line_of(text, match.start()),
                 f"{match.group()}: an install script owns what it makes")
    for match in re.finditer(r"@ext\w+@", text):
        complain(path, line_of(text, match.start()),
                 f"{match.group()}: its value may end a quotation")
    for match in re.finditer(r"\bcreate (?:function|procedure)\s+(\S+?)\(.*?;",
                             outside, re.DOTALL):
        check_function(path, line_of(text, match.start()), match)


def check_function(path, line, match):
    """Who runs another's names or rights needs a pinned search_path."""
    definition = match.group()
    parsed_once = re.search(r"\bbegin atomic\b|\n\s*return\b", definition)
    in_c = re.search(r"\blanguage c\b", definition)
    # A procedure that commits can have no settings.
    needs = "security definer" in definition or not (
        parsed_once or in_c or definition.startswith("create procedure"))
    if needs and "set search_path to pg_catalog, pg_temp" not in definition:
        complain(path, line, f"{match.group(1)} has no pinned search_path")


def check_pieces():
    """Each piece of the install script is in the Makefile's list."""
    listed = re.search(r"^PIECES = ((?:.*\\\n)*.*)$",
                       pathlib.Path("Makefile").read_text(), re.MULTILINE)
    for path in pathlib.Path("extension/sql").glob("*.sql"):
        if "--" not in path.stem and path.stem not in listed.group(1).split():
            complain(path, 1, "not among the PIECES of the Makefile")


def main():
    for path in own_files():
        check_text(path)
    for path in sorted(pathlib.Path("extension").glob("*.[ch]")):
        check_includes(path)
        check_versions(path)
    for path in sorted(pathlib.Path("extension/sql").glob("*.sql")):
        check_sql(path)
    check_functions()
    check_pieces()
    print("\n".join(complaints), end="\n" if complaints else "")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
