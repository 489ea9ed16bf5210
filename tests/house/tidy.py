#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""tidy.py SOURCE_ROOT: what CONTRIBUTING asks of every file: a licence line, a length a
reader can hold in mind, no trailing blanks, no variable-length waits in the library, no
printing or exiting from it."""
import os
import re
import sys

SOURCE = ('.c', '.h', '.h.in', '.py', '.sh', 'meson.build', 'Makefile')
LONGEST = 600
# In the library and the drivers: it never prints, exits, aborts or sleeps on its own.
FORBIDDEN = re.compile(r'\b(printf|fprintf|puts|perror|exit|abort|assert|sleep|usleep|system|'
                       r'signal|sigaction|pthread_create)\s*\(')
# What a program has to ask for by name (r3_sigbus_enable()).
ASKED_FOR = ('lib/mem/sigbus.c',)


def main(root):
    bad = seen = 0

    def complain(path, number, why):
        nonlocal bad
        bad += 1
        print(f'{path}:{number}: {why}')

    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(('.git', 'build'))]
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), root)
            script = '.' not in name and open(os.path.join(root, path), 'rb').read(2) == b'#!'
            if not name.endswith(SOURCE) and not script:
                continue
            seen += 1
            lines = open(os.path.join(root, path)).read().split('\n')
            if not any('SPDX-License-Identifier: BSD-2-Clause' in line for line in lines[:3]):
                complain(path, 1, 'has no SPDX line')
            if len(lines) > LONGEST:
                complain(path, len(lines), f'is longer than {LONGEST} lines')
            library = path.startswith(('lib/', 'drivers/')) and not name.startswith('test_') \
                and path not in ASKED_FOR
            for number, line in enumerate(lines, 1):
                if line != line.rstrip():
                    complain(path, number, 'ends in blanks')
                if library and name.endswith(('.c', '.h')) and FORBIDDEN.search(line) \
                        and 'SIG_DFL' not in line \
                        and not line.lstrip().startswith(('*', '/*')):
                    complain(path, number, 'a library does not do this: ' + line.strip())
    print(f'{seen} files, {bad} complaints')
    return 1 if bad or seen < 50 else 0


sys.exit(main(sys.argv[1]))
