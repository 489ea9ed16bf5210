#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Mistakes on purpose, one line each, that the unit tests have to see.

Each mutant of mutants.ini changes one line of the library in a copy of the tree; then the
unit tests of the folder that the line is in are built and run. A mutant is killed when one
of them fails, and survives when all pass: then a test is missing. Ends with 1 if any
survives, and with 2, before anything is built, if the line of one is no longer there:
whoever changed it finds it a new one.
"""
import argparse
import configparser
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
PATIENCE = 60  # seconds for one test: what hangs is dead, too


class Mutant:
    def __init__(self, name, entry):
        self.name = name
        self.file, self.line, self.becomes = entry['file'], entry['line'], entry['becomes']
        self.after = entry.get('after')

    def apply(self, tree):
        """The text of the file with the line changed; None: it is not there, or not once."""
        with open(os.path.join(tree, self.file), encoding='utf-8') as source:
            lines = source.readlines()
        first = 0
        if self.after:
            first = next((i for i, line in enumerate(lines) if line.strip() == self.after), None)
            if first is None:
                return None
        found = [i for i in range(first, len(lines)) if lines[i].strip() == self.line]
        if not found or (len(found) > 1 and not self.after):
            return None
        at = found[0]
        lines[at] = lines[at].replace(self.line, self.becomes)
        return ''.join(lines)


def load(path):
    parser = configparser.ConfigParser(interpolation=None, delimiters=('=',),
                                       comment_prefixes=('#',))
    with open(path, encoding='utf-8') as listing:
        parser.read_file(listing)
    return [Mutant(name, parser[name]) for name in parser.sections()]


def stale(mutants):
    bad = [m for m in mutants if m.apply(TREE) is None]
    for m in bad:
        print(f'mutant {m.name}: {m.file} has no line "{m.line}" any more, or several'
              + (f' after "{m.after}"' if m.after else ''))
    return bad


def copy_tree(scratch):
    def left_out(folder, names):
        return [n for n in names if n in ('.git', '__pycache__') or
                os.path.isdir(os.path.join(folder, n, 'meson-private'))]
    shutil.copytree(TREE, scratch, symlinks=True, ignore=left_out)


def quietly(cmd, cwd, timeout=None):
    """0, or how it failed, and what it said."""
    try:
        done = subprocess.run(cmd, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors='replace', timeout=timeout)
    except subprocess.TimeoutExpired:
        return 'timeout', ''
    return done.returncode, done.stdout


def must(cmd, cwd):
    rc, said = quietly(cmd, cwd)
    if rc:
        sys.exit(f'{" ".join(cmd)}: exit {rc}\n{said}')
    return said


def tests_of(build, folders):
    """{folder: [path of each program with a source test_* in it]}"""
    tests = {folder: [] for folder in folders}
    for target in json.loads(must(['meson', 'introspect', '--targets', build], build)):
        for group in target['target_sources'] if target['type'] == 'executable' else []:
            for source in group.get('sources', []):
                folder = os.path.relpath(os.path.dirname(source), os.path.dirname(build))
                path = os.path.relpath(target['filename'][0], build)
                if (os.path.basename(source).startswith('test_') and folder in tests
                        and path not in tests[folder]):
                    tests[folder].append(path)
    return tests


def run_tests(build, tests):
    """The first that fails; None: all pass."""
    for path in tests:
        rc, _ = quietly([os.path.join(build, path)], build, PATIENCE)
        if rc:
            return os.path.basename(path)
    return None


def judge(mutant, build, tests, jobs):
    """Who killed it; None: nobody."""
    path = os.path.join(os.path.dirname(build), mutant.file)
    with open(path, encoding='utf-8') as source:
        healthy = source.read()
    with open(path, 'w', encoding='utf-8') as source:
        source.write(mutant.apply(TREE))
    try:
        rc, said = quietly(['ninja', '-j', jobs, *tests], build)
        if rc:
            sys.exit(f'mutant {mutant.name} does not compile, so it shows nothing:\n{said}')
        return run_tests(build, tests)
    finally:
        with open(path, 'w', encoding='utf-8') as source:
            source.write(healthy)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--list', default=os.path.join(HERE, 'mutants.ini'), metavar='FILE')
    parser.add_argument('--some', type=int, metavar='N', help='only so many, chosen by R3_SEED')
    parser.add_argument('--only', metavar='NAME')
    parser.add_argument('--check', action='store_true', help='only look for the lines')
    parser.add_argument('--jobs', default='2', help='for the build')
    args = parser.parse_args()

    mutants = load(args.list)
    if stale(mutants):
        return 2
    if args.check:
        return 0
    if args.only:
        mutants = [m for m in mutants if m.name == args.only]
    if args.some:
        seed = os.environ.get('R3_SEED') or str(random.getrandbits(32))
        print(f'R3_SEED={seed}')
        mutants = random.Random(int(seed, 0)).sample(mutants, args.some)
    if not mutants:
        sys.exit('no such mutant')

    with tempfile.TemporaryDirectory() as scratch:
        build = os.path.join(scratch, 'tree', 'build')
        copy_tree(os.path.join(scratch, 'tree'))
        must(['meson', 'setup', build, '-Dqemu=disabled', '-Dtools=disabled', '-Dnbd=disabled',
              '-Ddebug=false', '-Dwerror=false'], os.path.dirname(build))
        tests = tests_of(build, {os.path.dirname(m.file) for m in mutants})
        for folder, programs in tests.items():
            if not programs:
                sys.exit(f'{folder} has no tests')
            must(['ninja', '-j', args.jobs, *programs], build)
            if by := run_tests(build, programs):
                sys.exit(f'{by} fails without any mutant')
        survivors = 0
        for m in mutants:
            began = time.monotonic()
            by = judge(m, build, tests[os.path.dirname(m.file)], args.jobs)
            survivors += by is None
            print(f'{m.name:36} {m.file:18} {"killed by " + by if by else "SURVIVED":30} '
                  f'{time.monotonic() - began:5.1f} s', flush=True)
    print(f'{len(mutants) - survivors} of {len(mutants)} mutants killed')
    return 1 if survivors else 0


if __name__ == '__main__':
    sys.exit(main())
