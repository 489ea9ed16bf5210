#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""symbols.py LIBRARY INCLUDE_DIR BUILD_INCLUDE_DIR: the library exports what the public
headers declare, under its version, and nothing else."""
import os
import re
import subprocess
import sys


def main(library, *includes):
    declared = set()
    for include in includes:
        for folder, _, names in os.walk(os.path.join(include, 'ring3')):
            for name in names:
                if name.endswith('.h'):
                    text = open(os.path.join(folder, name)).read()
                    text = re.sub(r'/\*.*?\*/', '', text, flags=re.S)
                    for statement in re.findall(r'\bR3_API\b([^;]*);', text):
                        found = re.search(r'\b(r3_\w+)\s*(\(|$)', statement)
                        declared.add(found.group(1))
    table = subprocess.run(['nm', '-D', '--defined-only', '--with-symbol-versions', library],
                           check=True, text=True, capture_output=True).stdout
    exported, unversioned = set(), []
    for line in table.splitlines():
        kind, symbol = line.split()[-2:]
        name, at, _ = symbol.partition('@@')
        if kind == 'A':
            continue
        exported.add(name)
        if not at:
            unversioned.append(name)
    for name in sorted(declared - exported):
        print(f'{name} is declared in a public header and not exported')
    for name in sorted(exported - declared):
        print(f'{name} is exported and not declared in a public header')
    for name in unversioned:
        print(f'{name} carries no version')
    print(f'{len(declared)} declared, {len(exported)} exported')
    return 1 if declared != exported or unversioned or not declared else 0


sys.exit(main(*sys.argv[1:]))
