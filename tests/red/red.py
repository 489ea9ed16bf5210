#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""red.py asan|valgrind PROGRAM: seeded mistakes must turn the run red, and a program
without one must stay green."""
import subprocess
import sys

MISTAKES = ['leak', 'overflow', 'use-after-free', 'arena-overflow', 'arena-use-after-free']
VALGRIND = ['valgrind', '--quiet', '--error-exitcode=99', '--leak-check=full',
            '--errors-for-leak-kinds=definite']


def run(tool, program, mistake):
    cmd = (VALGRIND if tool == 'valgrind' else []) + [program, mistake]
    return subprocess.run(cmd, capture_output=True, text=True)


def main(tool, program):
    bad = 0
    clean = run(tool, program, 'none')
    if clean.returncode:
        print(f'no mistake, and yet {tool} says:\n{clean.stderr}')
        bad += 1
    for mistake in MISTAKES:
        done = run(tool, program, mistake)
        print(f'{mistake}: {"red" if done.returncode else "GREEN"}')
        bad += done.returncode == 0
    return 1 if bad else 0


sys.exit(main(*sys.argv[1:]))
