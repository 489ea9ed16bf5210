#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""symbols.py LIBRARY LIB_DIR INCLUDE_DIR BUILD_INCLUDE_DIR: the library exports what the public
headers declare R3_API, under its version, what its own headers declare R3_KIT, as private, and
nothing else."""
import os
import re
import subprocess
import sys

NODES = {'R3_API': 'RING3_0', 'R3_KIT': 'RING3_PRIVATE'}


def declared(folder, mark):
    """The names that the headers below @folder declare with @mark."""
    names = set()
    for path, _, files in os.walk(folder):
        for file in files:
            if not file.endswith('.h'):
                continue
            text = open(os.path.join(path, file)).read()
            text = re.sub(r'/\*.*?\*/', '', text, flags=re.S)
            text = re.sub(r'^\s*#.*?(?<!\\)$', '', text, flags=re.S | re.M)
            for statement in re.findall(rf'\b{mark}\b([^;]*);', text):
                names.add(re.search(r'\b(r3_\w+)\s*(\(|$)', statement).group(1))
    return names


def exported(library):
    """{name: version node} of what the library shows."""
    table = subprocess.run(['nm', '-D', '--defined-only', '--with-symbol-versions', library],
                           check=True, text=True, capture_output=True).stdout
    found = {}
    for line in table.splitlines():
        kind, symbol = line.split()[-2:]
        name, _, version = symbol.partition('@@')
        if kind != 'A':
            found[name] = version
    return found


def problems(api, kit, found):
    """What of @found ({name: node}) is not as the headers have it."""
    for names, mark in ((api, 'R3_API'), (kit, 'R3_KIT')):
        for name in sorted(names):
            if found.get(name) != NODES[mark]:
                where = f'exported in {found[name] or "no version"}' if name in found \
                    else 'not exported'
                yield f'{name} is declared {mark} and {where}, not in {NODES[mark]}'
    for name in sorted(set(found) - api - kit):
        yield f'{name} is exported and not declared R3_API or R3_KIT'
    for name in sorted(api & kit):
        yield f'{name} is declared both R3_API and R3_KIT'


def notices_mistakes():
    """That this test can fail."""
    good = {'a': 'RING3_0', 'k': 'RING3_PRIVATE'}
    return not list(problems({'a'}, {'k'}, good)) and all(
        list(problems(api, kit, found)) for api, kit, found in (
            ({'a', 'b'}, {'k'}, good), ({'a'}, {'k', 'l'}, good), ({'a'}, set(), good),
            ({'a', 'k'}, set(), good), ({'a'}, {'a', 'k'}, good),
            ({'a'}, {'k'}, good | {'a': ''})))


def main(library, lib, *includes):
    api = set().union(*(declared(os.path.join(i, 'ring3'), 'R3_API') for i in includes))
    kit = declared(lib, 'R3_KIT')
    found = exported(library)
    if not notices_mistakes() or not api or not kit:
        print('the test itself is blind')
        return 1
    bad = list(problems(api, kit, found))
    for problem in bad:
        print(problem)
    print(f'{len(api)} public, {len(kit)} of the kit, {len(found)} exported')
    return 1 if bad else 0


sys.exit(main(*sys.argv[1:]))
