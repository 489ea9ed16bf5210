#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""run.py RING3: how `ring3 run` ends, and what it says when it cannot begin."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import unittest

import harness
from client import Client

USAGE, ABSENT, NOT_PERMITTED = 2, 3, 4


class Command(harness.TestCase):
    def test_status_is_passed_on(self):
        for status in (0, 1, 42, 255):
            self.assertEqual(self.run_command('null:1M', 'sh', '-c', f'exit {status}')[0], status)

    def test_signal_is_passed_on(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
            status, _, _ = self.run_command('null:1M', 'sh', '-c', f'kill -{int(number)} $$')
            self.assertEqual(status, 128 + number)

    def test_command_that_cannot_be_run(self):
        status, _, errors = self.run_command('null:1M', 'no-such-command')
        self.assertEqual(status, 127)
        self.assertIn("cannot run 'no-such-command'", errors)
        self.assertEqual(self.run_command('null:1M', self.folder)[0], 126)
        self.assertFalse(os.path.exists(self.socket))

    def test_arguments_are_not_a_shell_line(self):
        status, out, _ = self.run_command('null:1M', 'printf', '%s|', 'a b', '$uri', '*')
        self.assertEqual((status, out), (0, 'a b|$uri|*|'))

    def test_environment(self):
        script = 'echo "$uri"; echo "$unixsocket"; nbdinfo --size "$uri"'
        status, out, errors = self.run_command('null:1G', 'sh', '-c', script)
        self.assertEqual(status, 0, errors)
        self.assertEqual(out.split('\n')[:3], [self.uri, self.socket,
                                               '1073741824'])

    def test_relative_path_in_a_folder_with_odd_signs(self):
        folder = os.path.join(self.folder, 'a b?&#%c')
        os.mkdir(folder)
        status, out, errors = self.run_ring3(
            'null:1M', '--export', 'nbd:unix:./s', '--', 'sh', '-c',
            'test -S s && cd / && nbdinfo --size "$uri"', cwd=folder)
        self.assertEqual((status, out), (0, '1048576\n'), errors)
        self.assertEqual(os.listdir(folder), [])

    def test_relative_path_in_a_folder_too_deep_for_a_socket(self):
        folder = os.path.join(self.folder, *['x' * 50] * 3)
        os.makedirs(folder)
        status, out, errors = self.run_ring3('null:1M', '--export', 'nbd:unix:s', '--', 'sh', '-c',
                                             'nbdinfo --size "$uri"', cwd=folder)
        self.assertEqual((status, out), (0, '1048576\n'), errors)
        self.assertEqual(os.listdir(folder), [])

    def test_several_exports_of_one_device(self):
        other = os.path.join(self.folder, 't')
        script = f'nbdinfo --size "$uri" && nbdinfo --size "nbd+unix:///?socket={other}"'
        status, out, errors = self.run_ring3(
            'null:1M', *self.export, '--export', 'nbd:unix:' + other, '--export',
            'nbd:tcp:127.0.0.1:0', '--', 'sh', '-c', script)
        self.assertEqual((status, out), (0, '1048576\n1048576\n'), errors)
        self.assertEqual(os.listdir(self.folder), [])

    def test_tcp(self):
        status, out, errors = self.run_ring3(
            'null:1M', '--export', 'nbd:tcp:127.0.0.1:0', '--', 'sh', '-c',
            'echo "[$unixsocket]" && nbdinfo --size "$uri"')
        self.assertEqual((status, out), (0, '[]\n1048576\n'), errors)

    def test_output_without_a_command(self):
        with harness.Run('null:1M', *self.export) as run:
            self.assertEqual(run.uri(), self.uri)
            self.assertEqual(run.end(signal.SIGINT)[0], 0)
        with harness.Run('null:1M', *self.export, '-o', 'json') as run:
            # The socket is there sooner, when a signal still means failure.
            out = run.uri()
            while out.count('{') > out.count('}'):
                out += run.popen.stdout.readline()
            self.assertEqual(run.end()[0], 0)
            self.assertEqual(json.loads(out), {
                'schema': 'ring3.run', 'version': 1,
                'exports': [{'uri': self.uri}]})

    def test_the_terminal_is_the_commands_and_comes_back(self):
        # script(1) provides one. Of /proc/PID/stat: whose group, and which one has it.
        look = r'cut -d\  -f5,8 /proc/\$\$/stat'
        script = os.path.join(self.folder, 'script')
        with open(script, 'w') as file:
            file.write(f'{harness.RING3} run null:1M {" ".join(self.export)} -- '
                       f'sh -c "{look}; true"\n' + look.replace('\\$', '$') + '\n')
        out = subprocess.run(['script', '-qec', 'sh ' + script, '/dev/null'],
                             capture_output=True, text=True, timeout=harness.TIMEOUT).stdout
        lines = out.split()
        self.assertEqual(len(lines), 4, out)
        self.assertEqual(lines[0], lines[1])
        self.assertEqual(lines[2], lines[3])
        self.assertNotEqual(lines[0], lines[2])


@unittest.skipUnless(harness.has_qemu_nvme(), 'no qemu:nvme here')
class Trace(harness.TestCase):
    """SIGUSR1 asks the device's process for its trace."""

    def setUp(self):
        super().setUp()
        self.trace = os.path.join(self.folder, 'trace')

    def records(self):
        with open(self.trace, 'rb') as file:
            return [json.loads(line) for line in file]

    def test_file(self):
        address = f'trace,format=json,file={self.trace}+qemu:nvme,null,size=1G'
        with harness.Run(address, *self.export) as run:
            run.uri()
            self.assertEqual(self.records(), [])
            run.popen.send_signal(signal.SIGUSR1)
            harness.until('a trace', lambda: os.path.getsize(self.trace))
            with Client(self.socket).go() as client:
                client.read(0, 4096)
            _, _, errors = run.end()
            self.assertEqual(errors, '')
        records = self.records()
        accesses = [r for r in records if 'region' in r]
        for record in accesses:
            self.assertEqual(list(record)[:9], ['ts_ns', 'dev', 'region', 'offset', 'width', 'op',
                                                'value', 'reg', 'thread'])
        for record in records:
            self.assertEqual(record['dev'], 'qemu:nvme')
            self.assertNotEqual(record['op'], 'lost')
        by_name = {(r['op'], r['reg']) for r in accesses}
        for access in (('read', 'CAP'), ('write', 'CC'), ('read', 'CSTS'), ('write', 'ASQ'),
                       ('write', 'SQ0TDBL'), ('write', 'CQ0HDBL'), ('write', 'SQ1TDBL'),
                       ('write', 'PCI_COMMAND')):
            self.assertIn(access, by_name)
        self.assertTrue({'irq_alloc', 'irq_bind', 'irq', 'dma_memory', 'dma_map', 'quiesce'} <=
                        {r['op'] for r in records})
        # each record once, of each thread in the order in which it was made
        for thread in {r['thread'] for r in records}:
            times = [r['ts_ns'] for r in records if r['thread'] == thread]
            self.assertEqual(times, sorted(set(times)))

    def test_standard_error(self):
        with harness.Run('trace+qemu:nvme,null,size=1G', *self.export) as run:
            run.uri()
            run.popen.send_signal(signal.SIGUSR1)
            enable = re.compile(r'[0-9.]+ qemu:nvme \[[0-9]+\] write bar0\+0x14/4 '
                                r'0x[0-9a-f]{7}1 CC\n')
            while not enable.fullmatch(run.popen.stderr.readline()):
                self.assertIsNone(run.popen.poll())
            run.end()

    def test_nobody_reads(self):
        # more than the pipe holds: the disk goes on, and the end comes
        with harness.Run('trace+qemu:nvme,null,size=1G', *self.export) as run:
            run.uri()
            with Client(self.socket).go() as client:
                def work():
                    for _ in range(500):
                        client.read(0, 4096)
                work()
                run.popen.send_signal(signal.SIGUSR1)
                first = run.popen.stderr.readline()
                self.assertRegex(first, r'qemu:nvme \[')
                work()
            run.popen.send_signal(signal.SIGTERM)
            self.assertEqual(run.popen.wait(harness.TIMEOUT), 0)

    def test_nothing_traced(self):
        for address in ('null:1G', 'qemu:nvme,null,size=1G'):
            with harness.Run(address, *self.export) as run:
                run.uri()
                run.popen.send_signal(signal.SIGUSR1)
                self.assertRegex(run.popen.stderr.readline(), r'\Aring3: .*trace')
                self.assertEqual(run.end()[2], '')


class Refusing(harness.TestCase):
    """One clear message, the exit code of the design, and nothing left."""

    def refused(self, status, text, *arguments, **popen):
        with harness.Run(*arguments, **popen) as run:
            got, out, errors = run.wait()
            self.assertEqual((got, out), (status, ''), errors)
            self.assertRegex(errors, r'^ring3: [^\n]*\n$')
            self.assertIn(text, errors)
            run.check_nothing_left(self, seconds=0)
        return errors


class Refused(Refusing):
    def test_arguments(self):
        for text, *arguments in (
                ('--export', 'null:1M'),
                ('ADDRESS', *self.export),
                ('nbd:unix:PATH', 'null:1M', '--export', 'nbd:'),
                ('nbd:unix:PATH', 'null:1M', '--export', 'nbd:unix:'),
                ('nbd:unix:PATH', 'null:1M', '--export', 'nbd:fd:3'),
                ('HOST:PORT', 'null:1M', '--export', 'nbd:tcp:10809'),
                ('HOST:PORT', 'null:1M', '--export', 'nbd:tcp:localhost:http'),
                ('65535', 'null:1M', '--export', 'nbd:tcp:localhost:65536'),
                ('65535', 'null:1M', '--export', 'nbd:tcp:localhost:18446744073709551617'),
                ('HOST:PORT', 'null:1M', '--export', 'nbd:tcp:::1:10809'),
                ('size', 'null:1M', *self.export[:-1], self.export[-1] + ',size=1'),
                ('107', 'null:1M', '--export', 'nbd:unix:/' + 'x' * 107),
                ('namespace', 'null:1M', *self.export, '--namespace', '0'),
                ('namespace', 'null:1M', *self.export, '--namespace', 'one'),
                ('adaptive', 'null:1M', *self.export, '--mode', 'poll'),
                ('fast', 'null:1M', *self.export, '--mode', 'fast'),
                ('lba', 'null:1M,lba=3', *self.export),
                ('colour', 'null:1M,colour=red', *self.export),
                ('address', ':', *self.export)):
            with self.subTest(arguments):
                self.refused(USAGE, text, *arguments)

    def test_what_is_not_there(self):
        for text, *arguments in (
                ('ublk', 'null:1M', '--export', 'ublk'),
                ('vhost-user', 'null:1M', '--export', 'vhost-user:unix:/tmp/v'),
                ('tap', 'null:1M', '--export', 'tap:r3'),
                ('carrier-pigeon', 'null:1M', '--export', 'carrier-pigeon:x'),
                ('nowhere.invalid', 'null:1M', '--export', 'nbd:tcp:nowhere.invalid:10809'),
                ('no-such-image', f'file:{self.folder}/no-such-image', *self.export),
                ('no-such-scheme', 'no-such-scheme:x', *self.export),
                ('vfio', 'vfio:0000:ff:1f.7', *self.export),
                ('folder', 'null:1M', '--export', f'nbd:unix:{self.folder}/none/s')):
            with self.subTest(arguments):
                self.refused(ABSENT, text, *arguments)

    def test_nbdkit_is_not_installed(self):
        self.refused(ABSENT, 'install nbdkit', 'null:1M', *self.export,
                     env={'PATH': self.folder})

    def test_path_in_use(self):
        with harness.Run('null:1M', *self.export) as first:
            first.uri()
            self.refused(1, self.socket, 'null:1M', *self.export)
            self.assertTrue(os.path.exists(self.socket))
            first.end()

    def test_path_of_a_file(self):
        path = self.image(1)
        self.refused(1, path, 'null:1M', '--export', 'nbd:unix:' + path)
        self.assertTrue(os.path.exists(path))

    def test_path_of_a_dead_server_is_used_again(self):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(self.socket)
            dead.listen()
        status, _, errors = self.run_command('null:1M', 'sh', '-c', 'nbdinfo "$uri" >/dev/null')
        self.assertEqual(status, 0, errors)
        self.assertFalse(os.path.exists(self.socket))

    def test_port_in_use(self):
        with socket.create_server(('127.0.0.1', 0)) as server:
            where = f'127.0.0.1:{server.getsockname()[1]}'
            self.refused(1, where, 'null:1M', '--export', 'nbd:tcp:' + where)

    def test_not_permitted(self):
        user = self.as_ordinary_user()
        image = self.image(1 << 20)
        os.chmod(image, 0)
        closed = os.path.join(self.folder, 'closed')
        os.mkdir(closed, 0o555)
        self.refused(NOT_PERMITTED, closed, 'null:1M', '--export', f'nbd:unix:{closed}/s', **user)
        self.refused(NOT_PERMITTED, image, 'file:' + image, *self.export, **user)

    def test_read_only_image(self):
        user = self.as_ordinary_user()
        image = self.image(1 << 20)
        os.chmod(image, 0o444)
        self.refused(NOT_PERMITTED, f'{image} can only be read: add "readonly"', 'file:' + image,
                     *self.export, **user)
        status, out, errors = self.run_ring3('file:' + image, '--read-only', *self.export, '--',
                                             'nbdinfo', '--json', self.uri, **user)
        self.assertEqual(status, 0, errors)
        self.assertTrue(json.loads(out)['exports'][0]['is_read_only'])


@unittest.skipUnless(harness.has_qemu_nvme(), 'no qemu:nvme here')
class RefusedQemu(Refusing):
    def test_what_is_not_there(self):
        for text, address, *options in (
                ('no driver', 'qemu:edu'),
                ('no-such-device', 'qemu:no-such-device'),
                ('namespace 9', 'qemu:nvme', '--namespace', '9'),
                ('no-such-driver', 'qemu:nvme', '--driver', 'no-such-driver'),
                ('no-such-image', f'qemu:nvme,drive={self.folder}/no-such-image')):
            with self.subTest(address=address, options=options):
                self.refused(ABSENT, text, address, *options, *self.export)

    def test_qemu_is_not_installed(self):
        os.symlink(shutil.which('nbdkit'), os.path.join(self.folder, 'nbdkit'))
        self.refused(ABSENT, 'install qemu', 'qemu:nvme', *self.export, env={'PATH': self.folder})


class Plugin(harness.TestCase):
    """The plugin without ring3: nbdkit as its users know it."""
    plugin = os.path.join(os.path.dirname(harness.RING3), 'export/nbd/nbdkit-ring3-plugin.so')

    def nbdkit(self, *arguments):
        return subprocess.run(['nbdkit', *arguments[:-1], self.plugin, arguments[-1]],
                              capture_output=True, text=True, timeout=harness.TIMEOUT)

    def test_captive(self):
        done = subprocess.run(['nbdkit', '-U', '-', self.plugin, 'null:1M', '--run',
                               'nbdinfo --size "$uri"'], capture_output=True, text=True,
                              timeout=harness.TIMEOUT)
        self.assertEqual((done.returncode, done.stdout), (0, '1048576\n'), done.stderr)

    def test_in_the_background(self):
        pidfile = os.path.join(self.folder, 'pid')
        done = self.nbdkit('-U', self.socket, '-P', pidfile, 'null:1M')
        self.assertEqual(done.returncode, 0, done.stderr)
        harness.until('the process id', lambda: os.path.exists(pidfile) and
                      os.path.getsize(pidfile))
        with open(pidfile) as file:
            server = harness.Process(int(file.read()))
        with Client(self.socket).go() as nbd:
            self.assertEqual(nbd.size, 1 << 20)
        server.kill(signal.SIGTERM)
        harness.until('the end', lambda: not server.alive())

    def test_bad_parameters(self):
        for text, parameter in (('colour', 'colour=red'), ('address=', 'driver=nvme'),
                                ('log=', 'log=loud'), ('owner=', 'owner=999'),
                                ('unix=', 'unix=here'), ('no-such', 'file:/no-such')):
            with self.subTest(parameter):
                done = self.nbdkit('-f', '-U', self.socket, parameter)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(text, done.stderr)


harness.main()
