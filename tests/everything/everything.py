#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""everything.py SOURCE_ROOT: `make everything` goes on past a configuration that fails, says
which ones did, and ends non-zero; seeded ones, of the library alone."""
import os
import re
import subprocess
import sys
import tempfile

TABLE = '''
[DEFAULT]
suites =
library = -Dtests=false -Dqemu=disabled -Dtools=disabled -Dnbd=disabled -Dsd_event=disabled
options = %(library)s

[broken]
options = %(library)s -Dc_args=-DR3_API=broken

[unknown-option]
options = %(library)s -Dno_such_option=1

[no-compiler]
cc = no-such-compiler

[warned]
options = %(library)s -Dc_args=-Wpadded -Dwerror=false

[well]
'''
EXPECTED = {  # whether it was built, with warnings, and failed
    'broken': ('NO', True, True),
    'unknown-option': ('NO', False, True),
    'no-compiler': ('NO', False, True),
    'warned': ('yes', True, True),
    'well': ('yes', False, False),
}


def main(root):
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, 'table')
        with open(table, 'w') as file:
            file.write(TABLE)
        done = subprocess.run(['scripts/everything', '--table', table, os.path.join(folder, 'b')],
                              cwd=root, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    said = done.stdout[done.stdout.rindex('\nconfiguration  '):]
    print(said)
    got = {}
    for line in said.splitlines():
        row = re.match(r'(\S+) +(yes|NO) +(\d+) ', line)
        if row:
            got[row[1]] = (row[2], int(row[3]) > 0, line.endswith('FAILED'))
    if got != EXPECTED:
        print(f'it was to say {EXPECTED}')
    if done.returncode != 1:
        print(f'it ended with {done.returncode}')
    return 0 if got == EXPECTED and done.returncode == 1 else 1


sys.exit(main(sys.argv[1]))
