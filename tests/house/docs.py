#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""docs.py SOURCE_ROOT: the C in docs/drivers.md is what the sources say. Each fenced excerpt
names the file that it was copied from behind its language, and occurs in it verbatim."""
import os
import re
import sys


def problems(page, sources):
    """What is wrong with the excerpts of a page; @sources returns a file's text or None."""
    excerpts = re.findall(r'^```c\b[ \t]*(\S*)[^\n]*\n(.*?)^```$', page, re.S | re.M)
    for path, code in excerpts:
        first = code.split('\n', 1)[0].strip()
        text = sources(path) if path else None
        if text is None:
            yield f'the excerpt that begins with "{first}" names no source file: "{path}"'
        elif code not in text:
            yield f'{path} does not have the excerpt that begins with "{first}"'
    if not excerpts:
        yield 'there are no excerpts'


def notices_mistakes():
    """That this test can fail."""
    source = {'a.c': 'int f(void)\n{\n\treturn 1;\n}\n'}.get
    good = 'text\n```c a.c\n\treturn 1;\n```\n'
    return not list(problems(good, source)) and all(
        list(problems(bad, source)) for bad in (
            good.replace('1', '2'), good.replace('\t', ' '), good.replace('a.c', 'b.c'),
            good.replace(' a.c', ''), 'text\n'))


def main(root):
    def sources(path):
        if not os.path.isfile(os.path.join(root, path)):
            return None
        return open(os.path.join(root, path)).read()

    if not notices_mistakes():
        print('the test itself is blind')
        return 1
    bad = list(problems(open(os.path.join(root, 'docs/drivers.md')).read(), sources))
    for problem in bad:
        print(f'docs/drivers.md: {problem}')
    return 1 if bad else 0


sys.exit(main(sys.argv[1]))
