#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""host.py RING3 R3_HOST CLASS [NAME=VALUE...]: r3-host as a process: what it holds, what it
still may do, what its driver gets away with, and how it ends. `address` is the device, `suite`
the block suite, `object` a driver, `hostile` one that tries escapes.c, `escapes` that file,
`calls` the list of system calls."""
import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from procs import remove

TIMEOUT = 60
UID = 54321
RING3, R3_HOST = map(os.path.abspath, sys.argv[1:3]) if len(sys.argv) > 3 else (None, None)
GIVEN = dict(word.partition('=')[::2] for word in sys.argv[4:])
ROOT = os.geteuid() == 0
SANITIZED = 'sanitized' in GIVEN
WRAP = os.environ.get('R3_WRAP', '').split()


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix='r3-host-')
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        remove(path)


def first_line(popen):
    if not select.select([popen.stdout], [], [], TIMEOUT)[0]:
        raise AssertionError(f'{popen.args[0]} is not ready within {TIMEOUT} s')
    return popen.stdout.readline().decode()


@contextlib.contextmanager
def running(command, **options):
    popen = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, **options)
    try:
        yield popen
    finally:
        popen.kill()
        popen.wait(TIMEOUT)
        popen.stdout.close()
        if popen.stderr:
            popen.stderr.close()


class WithDevice(unittest.TestCase):
    """A broker of the device, for all tests of a class."""

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.folder = self.stack.enter_context(folder())
        self.device = os.path.join(self.folder, 'device')
        self.block = os.path.join(self.folder, 'block')
        self.broker = self.stack.enter_context(running(
            WRAP + [RING3, 'serve', GIVEN['address'], '--listen', f'unix:{self.device}',
                    '--log-level', 'error',
                    # of the device's, where a sandbox takes processes of one thread
                    *(['--no-sandbox'] if ',thread' in GIVEN['address'] else [])]))
        self.assertIn(self.device, first_line(self.broker))

    def command(self, *options, uid=ROOT):
        return [R3_HOST, '--device', f'vfio-user:unix:{self.device}', '--serve',
                f'vhost-user:unix:{self.block}', *(['--uid', str(UID)] if uid else []), *options]

    def host(self, *options, before=(), **popen):
        """A host that serves, and its manifest."""
        host = self.stack.enter_context(running([*before, *WRAP, *self.command(*options)],
                                                **popen))
        line = first_line(host)
        if not line:
            raise AssertionError(f'it ended with {host.wait(TIMEOUT)} before it served')
        return host, json.loads(line)

    def use(self):
        """Drive the block device from outside, with everything that the block suite checks."""
        subprocess.run([GIVEN['suite'], f'vhost-user:unix:{self.block}', '--effort', '10',
                        '--persistent'], check=True, timeout=TIMEOUT * 4)

    def end(self, host):
        host.terminate()
        self.assertEqual(host.wait(TIMEOUT), 0)


def numbers(manifest):
    return {fd for entry in manifest['fds'] for fd in entry['fd']}


def descriptors(pid):
    """{fd: what it is} as the kernel has it."""
    folder = f'/proc/{pid}/fd'
    return {int(fd): os.readlink(os.path.join(folder, fd)) for fd in os.listdir(folder)
            if not WRAP or int(fd) < 1024}  # above that they are valgrind's


def status(pid):
    with open(f'/proc/{pid}/status') as file:
        return dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)


class Process(WithDevice):
    """What the kernel says of it."""

    KINDS = re.compile(r'anon_inode:\[(eventfd|eventpoll|timerfd|signalfd)\]|socket:\[\d+\]|'
                       r'/memfd:ring3-arena \(deleted\)')

    def check_descriptors(self, host, manifest):
        found = descriptors(host.pid)
        self.assertEqual(set(found), numbers(manifest))
        for fd, what in found.items():
            if fd > 2:
                self.assertRegex(what, rf'^({self.KINDS.pattern})$')

    def test_descriptors_are_its_manifest(self):
        extra, other = os.pipe()
        # only root looks into what is not dumpable
        host, manifest = self.host(*([] if ROOT else ['--debug']), pass_fds=[extra, other])
        os.close(extra)
        os.close(other)
        self.assertEqual(manifest['schema'], 'ring3.host.manifest')
        self.check_descriptors(host, manifest)
        self.use()
        host.send_signal(signal.SIGUSR1)
        self.check_descriptors(host, json.loads(first_line(host)))
        self.end(host)

    def test_it_is_nobody(self):
        host, manifest = self.host()
        said = status(host.pid)
        if ROOT:
            self.assertEqual(said['Uid'].split(), [str(UID)] * 4)
            self.assertEqual(said['Gid'].split(), [str(UID)] * 4)
            self.assertEqual(said['Groups'].strip(), '')
        for name in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb'):
            self.assertEqual(int(said[name], 16), 0)
        self.assertEqual(said['NoNewPrivs'], '1')
        self.assertEqual(said['Seccomp'], '0' if SANITIZED or WRAP else '2')
        if ROOT and not SANITIZED and not WRAP:
            self.assertEqual(manifest['sandbox']['grade'], 'full')
            self.assertEqual(int(said['CapBnd'], 16), 0)
        self.end(host)

    def test_sees_no_files(self):
        if not ROOT or SANITIZED or WRAP:
            self.skipTest('needs root to look into it')
        host, _ = self.host()
        self.assertEqual(os.listdir(f'/proc/{host.pid}/root'), [])
        self.end(host)

    def test_registers_are_mapped_and_no_more(self):
        """Whoever has what registers are mapped from could map more of it."""
        if not ROOT or not GIVEN['address'].startswith('stub:'):
            self.skipTest('needs root, and a device whose registers are memory')
        host, _ = self.host()
        with open(f'/proc/{host.pid}/maps') as file:
            self.assertIn('/memfd:fake-bar', file.read())
        self.assertNotIn('fake-bar', ' '.join(descriptors(host.pid).values()))
        self.end(host)

    def test_memory_is_hidden_unless_asked(self):
        if not ROOT or SANITIZED:
            self.skipTest('needs root, and no sanitizer')
        host, _ = self.host()
        self.assertEqual(os.stat(f'/proc/{host.pid}/mem').st_uid, 0)
        self.end(host)
        host, manifest = self.host('--debug')
        self.assertEqual(os.stat(f'/proc/{host.pid}/mem').st_uid, UID)
        self.assertIn('memory', [part['part'] for part in manifest['sandbox']['missing']])
        self.end(host)


class Drivers(WithDevice):
    """Linked and as an object, the same driver does the same."""

    def test_linked(self):
        host, _ = self.host()
        self.use()
        self.end(host)

    def test_object(self):
        host, manifest = self.host('--driver-file', GIVEN['object'])
        if ROOT and not SANITIZED and not WRAP:
            self.assertEqual(manifest['sandbox']['grade'], 'full')
        self.use()
        self.end(host)

    def refused(self, status, *options):
        done = subprocess.run(self.command(*options), capture_output=True, text=True,
                              timeout=TIMEOUT)
        self.assertEqual((done.returncode, done.stdout), (status, ''))
        return done.stderr

    def test_no_driver(self):
        self.assertIn('No such file', self.refused(3, '--driver-file', '/nowhere.so'))
        self.assertIn('r3_driver', self.refused(1, '--driver-file', GIVEN['library']))
        self.assertIn('cannot be loaded', self.refused(1, '--driver-file', GIVEN['calls']))
        self.assertIn('no driver is called', self.refused(3, '--driver', 'nosuch'))

    def test_no_device(self):
        self.broker.terminate()
        self.broker.wait(TIMEOUT)
        done = subprocess.run(self.command(), capture_output=True, timeout=TIMEOUT)
        self.assertNotEqual(done.returncode, 0)
        self.assertFalse(os.path.exists(self.block))

    def test_required_part(self):
        self.assertIn('no memory', self.refused(3, '--debug', '--require', 'memory'))

    def test_from_a_closed_folder(self):
        """Its uid cannot find the file, but was given it."""
        closed = os.path.join(self.folder, 'closed')
        os.mkdir(closed, 0o700)
        shutil.copy(GIVEN['object'], closed)
        host, _ = self.host('--driver-file',
                            os.path.join(closed, os.path.basename(GIVEN['object'])))
        self.end(host)


class Calls(WithDevice):
    """strace: it makes no call that is not on the list, and no call at all that opens."""

    def test_only_those_listed(self):
        if not shutil.which('strace') or WRAP or SANITIZED:
            self.skipTest('needs strace, and neither valgrind nor a sanitizer')
        with open(GIVEN['calls']) as file:
            listed = {call for line in file if re.match(r'[a-z]', line)
                      for call in line.split()[0].split('|')}
        log = os.path.join(self.folder, 'log')
        tracer, _ = self.host('--driver-file', GIVEN['object'],
                              before=['strace', '-f', '-qq', '-o', log])
        self.use()
        with open(f'/proc/{tracer.pid}/task/{tracer.pid}/children') as file:
            os.kill(int(file.read()), signal.SIGTERM)
        self.assertEqual(tracer.wait(TIMEOUT), 0)
        with open(log) as file:
            lines = [line.split(maxsplit=1)[1] for line in file]
        filters = [n for n, line in enumerate(lines) if re.match(r'seccomp\(SECCOMP_SET_MODE_FILTER, .*= 0$', line)]
        self.assertEqual(len(filters), 2)
        made = {name for line in lines[filters[-1] + 1:]
                if (name := re.match(r'(\w+)\(', line))}
        made = {match.group(1) for match in made}
        print(f'{len(made)} calls: {" ".join(sorted(made))}', file=sys.stderr)
        self.assertGreater(len(made), 8)
        self.assertEqual(made - listed, set())


class Escapes(WithDevice):
    """A driver gone bad gets nothing, neither while it is loaded nor when it runs."""

    # What loads code can make code.
    LOADING_MAY = {'map memory as code', 'turn memory into code'}

    def attempt(self, name, when, neighbour):
        with folder() as place:
            os.chmod(place, 0o777)
            done = subprocess.run(
                self.command('--driver-file', GIVEN['hostile']), capture_output=True, text=True,
                timeout=TIMEOUT, env=dict(os.environ, R3_HOSTILE=name, R3_HOSTILE_WHEN=when,
                                          R3_HOSTILE_FOLDER=place,
                                          R3_HOSTILE_NEIGHBOUR=str(neighbour.pid)))
        self.assertIn('hostile: begins', done.stderr)
        self.assertNotIn('worked', done.stderr, f'{when}: {name}')
        killed = done.returncode == -signal.SIGSYS
        self.assertTrue(killed or f'hostile: {name}: ' in done.stderr, done.stderr)
        return killed

    def attempts(self, when, but=()):
        if WRAP or SANITIZED:
            self.skipTest('there is no filter under valgrind or a sanitizer, which is reported')
        with open(GIVEN['escapes']) as file:
            names = re.findall(r'^\t\{"([^"]+)", \w+', file.read(), re.M)
        self.assertGreater(len(names), 30)
        with running(['sleep', 'infinity'], user=UID if ROOT else None) as neighbour:
            return sum(self.attempt(name, when, neighbour) for name in names if name not in but)

    def test_when_it_runs(self):
        self.assertGreater(self.attempts('attach'), 30)

    def test_while_it_is_loaded(self):
        self.assertGreater(self.attempts('load', self.LOADING_MAY), 20)


class Ends(WithDevice):
    def test_by_its_owner(self):
        ours, theirs = os.pipe()
        host, manifest = self.host('--owner', f'fd:{ours}', pass_fds=[ours])
        os.close(ours)
        self.assertEqual(sum(entry['purpose'] == 'owner' for entry in manifest['fds']), 1)
        os.close(theirs)
        self.assertEqual(host.wait(TIMEOUT), 0)

    def test_by_the_end_of_the_broker(self):
        host, _ = self.host(stderr=subprocess.PIPE)
        self.broker.kill()
        self.assertEqual(host.wait(TIMEOUT), 1)
        self.assertIn(b'gone', host.stderr.read())

    def test_by_the_end_of_a_connected_front_end(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command = self.command()
            command[command.index('--serve') + 1] = f'vhost-user:fd:{theirs.fileno()}'
            host = self.stack.enter_context(running(WRAP + command, pass_fds=[theirs.fileno()]))
            theirs.close()
            self.assertIn('manifest', first_line(host))
            ours.close()
            self.assertEqual(host.wait(TIMEOUT), 0)

    def test_the_next_one_finds_the_device(self):
        for _ in range(3):
            host, _ = self.host()
            host.kill()
            self.assertEqual(host.wait(TIMEOUT), -signal.SIGKILL)
        host, _ = self.host()
        self.end(host)

    def test_command_line(self):
        for words in ([], ['--device', 'qemu:nvme', '--serve', 'vhost-user:fd:3'],
                      ['--device', 'vfio-user:fd:3', '--serve', 'nbd:fd:3'],
                      self.command('--uid', 'x'), self.command('--owner', 'pipe'),
                      self.command('--mode', 'nosuch'), self.command('--require', 'nosuch'),
                      self.command('--nosuch'), self.command('operand'),
                      self.command('--driver', 'nvme', '--driver-file', 'x')):
            done = subprocess.run([R3_HOST, *words[words[:1] == [R3_HOST]:]],
                                  capture_output=True, text=True, timeout=TIMEOUT)
            self.assertEqual(done.returncode, 2, words)
            self.assertTrue(done.stderr.startswith(('r3-host: ', R3_HOST)), done.stderr)
        done = subprocess.run([R3_HOST, '--help'], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ''))


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], sys.argv[3]], verbosity=2)
