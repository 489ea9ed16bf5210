#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""security.py SOURCE_ROOT: each test that docs/security.md calls a witness exists, and the lists of
system calls are as long as it says."""
import os
import re
import sys

from syscalls import listed


def witnesses(page):
    """(file, test or None) for each named in the last column of a table. A name without a file is
    in the file named before it."""
    for row in re.findall(r'^\|.*\|$', page, re.M):
        path = None
        for name in re.findall(r'`([^`]+)`', row.rstrip('|').rpartition('|')[2]):
            file, _, test = name.partition(': ')
            if '/' in file:
                path, test = file, test or None
            else:
                test = name
            yield path, test


def problems(page, sources, lengths):
    found = list(witnesses(page))
    if not found:
        yield 'it names no test'
    for path, test in found:
        text = sources(path) if path else None
        if text is None:
            yield f'there is no file {path} for {test}'
        elif test and not re.search(rf'^(?:static void|\s*def) {re.escape(test)}\(', text, re.M):
            yield f'{path} has no test {test}'
    said = [int(n) for n in re.findall(r'\.syscalls\)\s*\|\s*(\d+)\s*\|', page)]
    if said != lengths:
        yield f'the lists have {lengths} calls, not {said}'


def notices_mistakes():
    """That this test can fail."""
    source = {'a/b.c': 'static void f(void **state)\n', 'a/c.py': '    def g(self):\n'}.get
    good = '| x | `a/b.c: f` |\n| y | `a/c.py: g` |\n| l | [l](d.syscalls) | 3 |\n'
    return not list(problems(good, source, [3])) and all(
        list(problems(bad, source, [3])) for bad in (
            good.replace(': f', ': h'), good.replace('c.py', 'd.py'), good.replace('3', '4'),
            '| l | [l](d.syscalls) | 3 |\n'))


def main(root):
    def sources(path):
        path = os.path.join(root, path)
        return open(path).read() if os.path.isfile(path) else None

    def length(*names):
        return sum(len(listed(sources(f'host/sandbox/{name}.syscalls'))) for name in names)

    if not notices_mistakes():
        print('the test itself is blind')
        return 1
    lengths = [length('driver'), length('driver', 'loading'), length('broker'), length('export')]
    bad = list(problems(sources('docs/security.md'), sources, lengths))
    for problem in bad:
        print(f'docs/security.md: {problem}')
    return 1 if bad else 0


sys.exit(main(sys.argv[1]))
