#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""readme.py SOURCE_ROOT: the driver printed in the README is the one that is built and run,
and every path that the documents link to exists."""
import os
import re
import sys


def main(root):
    bad = 0
    readme = open(os.path.join(root, 'README.md')).read()
    code = re.search(r'```c\n(.*?)```', readme, re.S).group(1)
    if code != open(os.path.join(root, 'examples/first_driver.c')).read():
        print('README.md: its first driver is not examples/first_driver.c')
        bad += 1
    if code.count('\n') > 40:
        print(f'README.md: the first driver has {code.count(chr(10))} lines, more than 40')
        bad += 1
    for page in ('README.md', 'CONTRIBUTING.md', 'docs/drivers.md', 'docs/design.md',
                 'docs/security.md'):
        text = open(os.path.join(root, page)).read()
        for link in re.findall(r'\]\(([^)#:]+)\)', text):
            if not os.path.exists(os.path.join(root, os.path.dirname(page), link)):
                print(f'{page}: links to {link}, which does not exist')
                bad += 1
        for path in re.findall(r'`((?:lib|drivers|host|man|tests|tools|export|examples|demo|docs|bench|'
                               r'host|include)/[\w./-]*)`', text):
            if not os.path.exists(os.path.join(root, path)):
                print(f'{page}: names {path}, which does not exist')
                bad += 1
    return 1 if bad else 0


sys.exit(main(sys.argv[1]))
