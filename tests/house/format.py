#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""format.py CLANG_FORMAT SOURCE_ROOT: every C file is as clang-format would write it."""
import os
import subprocess
import sys


def main(clang_format, root):
    files = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(('.git', 'build'))]
        files += [os.path.join(folder, n) for n in names if n.endswith(('.c', '.h'))]
    done = subprocess.run([clang_format, '--dry-run', '--Werror', *files], capture_output=True,
                          text=True)
    bad = {line.split(':')[0] for line in done.stderr.splitlines() if ': error:' in line}
    for path in sorted(bad):
        print(f'{os.path.relpath(path, root)}: run clang-format -i on it')
    print(f'{len(files)} files, {len(bad)} to format')
    return 1 if done.returncode or len(files) < 50 else 0


sys.exit(main(*sys.argv[1:]))
