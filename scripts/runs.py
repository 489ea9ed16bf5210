# SPDX-License-Identifier: BSD-2-Clause
"""A run of Meson's tests, and what came of it: for the scripts that count."""
import json
import os
import subprocess
import time


class Run:
    def __init__(self, passed=(), failed=(), skipped=(), seconds=0):
        self.passed, self.failed, self.skipped = list(passed), list(failed), list(skipped)
        self.seconds = seconds

    def report(self):
        """What somebody has to look at, and how long it took."""
        for name, why in self.skipped:
            print(f'   skipped {name}: {why}')
        for name in self.failed:
            print(f'   FAILED {name}')
        print(f'   {self.seconds:.0f} s', flush=True)


def run(name, build, suites=None, setup=None):
    """Run meson test once on a build, with the suites named or all."""
    cmd = ['meson', 'test', '-C', build, '--no-rebuild', '--print-errorlogs', '--logbase', name,
           '--num-processes', '2']
    for suite in suites or []:
        cmd += ['--suite', suite]
    if setup:
        cmd += ['--setup', setup]
    began = time.monotonic()
    print(f'== {name}: {" ".join(suites) if suites else "all suites"}', flush=True)
    log_name = os.path.join(build, 'meson-logs', f'{name}-{setup}.json' if setup else f'{name}.json')
    if os.path.exists(log_name):
        os.unlink(log_name) # or an old one would be counted
    env = dict(os.environ, UBSAN_OPTIONS='halt_on_error=1:print_stacktrace=1')
    rc = subprocess.run(cmd, env=env).returncode
    done = Run(seconds=time.monotonic() - began)
    try:
        with open(log_name) as log:
            results = [json.loads(line) for line in log]
    except OSError:
        results = []
    for r in results:
        if r['result'] in ('OK', 'EXPECTEDFAIL'):
            done.passed.append(r['name'])
        elif r['result'] == 'SKIP':
            why = [line for line in r.get('stdout', '').splitlines() if 'skip' in line.lower()]
            done.skipped.append((r['name'], why[-1].strip() if why else 'gave no reason'))
        else:
            done.failed.append(r['name'])
    # a run that ended badly and names no test, or ran none, is one failure
    if not done.failed and (rc or not results):
        done.failed.append(f'the run itself, which ended with {rc}')
    return done


def cross(machine, build):
    """The folder and Meson's options to build for a machine of cross/; and, where the libraries
    of its tests cannot be had, so that it is built without them, why."""
    # json-c is there for vfio-user; QEMU and the command's scripts are this machine's
    options = [f'--cross-file=cross/{machine}.ini', '-Dqemu=disabled', '-Dtools=disabled']
    got = subprocess.run(['scripts/sysroot', machine], text=True, capture_output=True)
    if got.returncode:
        why = got.stderr.strip().splitlines()
        return f'{build}-untested', options + ['-Dtests=false'], why[-1]
    return build, options + [f'--cross-file=build-sysroot/{machine}/meson.ini'], None
