#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""headers.py INCLUDE_DIR BUILD_INCLUDE_DIR: every public header compiles alone, as C11
and as C++17, with the warnings of a strict user."""
import os
import subprocess
import sys

COMPILERS = [
    ['gcc', '-std=c11', '-pedantic', '-Wconversion', '-x', 'c'],
    ['clang', '-std=c11', '-pedantic', '-Wconversion', '-x', 'c'],
    ['g++', '-std=c++17', '-pedantic', '-Wconversion', '-x', 'c++'],
    ['clang++', '-std=c++17', '-pedantic', '-Wconversion', '-x', 'c++'],
]
WARN = ['-Wall', '-Wextra', '-Wshadow', '-Werror', '-fsyntax-only']


def main(source, built):
    headers = []
    for include in (source, built):
        for folder, _, names in os.walk(os.path.join(include, 'ring3')):
            headers += [os.path.relpath(os.path.join(folder, n), include)
                        for n in names if n.endswith('.h')]
    bad = 0
    for header in sorted(headers):
        for compiler in COMPILERS:
            text = f'#include <{header}>\n'
            done = subprocess.run(compiler + WARN + ['-I', source, '-I', built, '-'],
                                  input=text, text=True, capture_output=True)
            if done.returncode:
                print(f'{header}: {" ".join(compiler)}\n{done.stderr}')
                bad += 1
    print(f'{len(headers)} headers, {len(COMPILERS)} compilers, {bad} failures')
    return 1 if bad or len(headers) < 10 else 0


sys.exit(main(*sys.argv[1:3]))
