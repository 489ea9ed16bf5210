#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""isolate.py RING3: `ring3 run --isolate`: three processes that share nothing but two sockets,
what each of them still has, and what becomes of all when one of them dies."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import unittest

import harness
from client import FLUSH, READ, Client

USAGE, ABSENT, NOT_PERMITTED = 2, 3, 4
ROLES = ['broker', 'driver', 'export']
NAMES = {'broker': 'ring3', 'driver': 'r3-host', 'export': 'nbdkit'}


class Isolated(harness.Run):
    """A run whose first output is what it says of itself in JSON."""

    def __init__(self, *arguments, **popen):
        super().__init__('--isolate', *arguments, **popen)
        self.told = None

    def ready(self):
        out = self.uri()
        while out.count('{') > out.count('}'):
            out += self.popen.stdout.readline()
        self.told = json.loads(out)
        return {process['role']: process for process in self.told['processes']}


class Lender(harness.Run):
    command = 'serve'


def status_of(pid):
    with open(f'/proc/{pid}/status') as file:
        return dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)


def descriptors(pid):
    """What each descriptor of a process is."""
    return {int(fd): os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')}


class TestCase(harness.TestCase):
    address = 'qemu:nvme,size=64M'

    def start(self, *arguments, **popen):
        run = Isolated(self.address, *self.export, '-o', 'json', *arguments, **popen)
        self.addCleanup(run.__exit__)
        return run


may_look = unittest.skipUnless(os.getuid() == 0, 'only root may look into them')


class Shut(TestCase):
    """What is left to each of the three."""

    def check_shut_in(self, process):
        status = status_of(process['pid'])
        for name in ('CapEff', 'CapPrm', 'CapInh', 'CapAmb'):
            self.assertEqual(int(status[name], 16), 0, (process['role'], name))
        self.assertEqual((status['NoNewPrivs'], status['Seccomp']), ('1', '2'), process['role'])
        self.assertEqual(status['Uid'].split(), [str(process['uid'])] * 4)
        self.assertEqual(status['Name'], NAMES[process['role']])
        return status

    @unittest.skipUnless(os.getuid() == 0, 'only root can give each a uid of its own')
    def test_three_users_without_privilege(self):
        run = self.start()
        processes = run.ready()
        self.assertEqual([process['role'] for process in run.told['processes']], ROLES)
        for process in processes.values():
            status = self.check_shut_in(process)
            self.assertEqual(int(status['CapBnd'], 16), 0)
            self.assertEqual(status['Gid'].split(), [str(process['uid'])] * 4)
            self.assertEqual(status['Groups'].strip(), '')
        uids = {process['uid'] for process in processes.values()}
        self.assertEqual(len(uids | {0, os.getuid()}), 4)
        ps = subprocess.run(['ps', '-o', 'uid=', '-p', ','.join(
            str(process['pid']) for process in processes.values())], capture_output=True, text=True)
        self.assertEqual({int(uid) for uid in ps.stdout.split()}, uids)
        # QEMU is nobody else than the broker, and no more than it
        qemu = status_of(run.named('qemu').pid)
        self.assertEqual(qemu['Uid'].split(), [str(processes['broker']['uid'])] * 4)
        self.assertEqual(int(qemu['CapEff'], 16), 0)
        for namespace in 'net', 'ipc':
            self.assertNotEqual(os.readlink(f'/proc/{run.named("qemu").pid}/ns/{namespace}'),
                                os.readlink(f'/proc/self/ns/{namespace}'))
        self.assertEqual(run.end()[0::2], (0, ''))
        run.check_nothing_left(self, self.socket, seconds=0)

    @unittest.skipUnless(os.getuid() == 0, 'only root can give each a uid of its own')
    def test_two_runs_share_no_user(self):
        uids = []
        for name in 'ab':
            run = Isolated(self.address, '--export', f'nbd:unix:{self.folder}/{name}', '-o', 'json')
            self.addCleanup(run.__exit__)
            uids += [process['uid'] for process in run.ready().values()]
        self.assertEqual(len(set(uids)), 6, uids)

    def test_one_user_is_told_to_be_less(self):
        run = self.start(**self.as_ordinary_user())
        processes = run.ready()
        for process in processes.values():
            self.check_shut_in(process)
            self.assertNotEqual(process['sandbox'], 'full')
            self.assertIn('uid', [missing['part'] for missing in process['missing']])
            for missing in process['missing']:
                self.assertTrue(missing['why'])
        self.assertEqual(len({process['uid'] for process in processes.values()}), 1)
        status, _, errors = run.end()
        self.assertEqual(status, 0)
        self.assertRegex(errors, r'\Aring3: warn: not fully isolated: uid \([^\n]*\n\Z')

    def test_nobody_looks_into_them(self):
        """Not even another process of the same user, which one of the others may become."""
        run = self.start(**self.as_ordinary_user())
        pids = [process['pid'] for process in run.ready().values()]
        script = ('import os, sys\n'
                  'for pid in sys.argv[1:]:\n'
                  '    for what in "mem", "environ", "fd/0":\n'
                  '        try:\n'
                  '            open(f"/proc/{pid}/{what}", "rb")\n'
                  '            print(pid, what)\n'
                  '        except PermissionError:\n'
                  '            pass\n')
        looked = subprocess.run(['/usr/bin/python3', '-c', script, *map(str, pids)],
                                capture_output=True, text=True, timeout=harness.TIMEOUT,
                                **self.as_ordinary_user())
        self.assertEqual((looked.returncode, looked.stdout, looked.stderr), (0, '', ''))
        self.assertEqual(run.end()[0], 0)

    @may_look
    def test_the_driver_holds_its_manifest(self):
        run = self.start()
        driver = run.ready()['driver']
        with Client(self.socket).go() as client:
            client.write(0, b'x' * 65536)
            client.read(0, 65536)
            held = descriptors(driver['pid'])
        manifest = {entry['fd']: entry['purpose'] for entry in driver['fds']}
        self.assertEqual(set(held), set(manifest), (held, manifest))
        self.assertTrue(all(manifest.values()), manifest)
        # nothing that leads anywhere: no file, no device, no folder
        for fd, what in held.items():
            if fd > 2:
                self.assertRegex(what, r'\A(socket|pipe|anon_inode):|\A/memfd:', manifest[fd])
        run.end()

    @may_look
    def test_nobody_holds_a_file(self):
        run = self.start()
        # what whoever starts it has open is not for the three, and no terminal either
        for role, process in run.ready().items():
            held = descriptors(process['pid'])
            self.assertEqual(held.pop(0), '/dev/null')
            if role == 'export':
                self.assertEqual(held.pop(1), '/dev/null')
            for fd, what in held.items():
                self.assertRegex(what, r'\A(socket|pipe|anon_inode):|\A/memfd:', (role, fd))
        run.end()

    @may_look
    def test_nobody_is_told_a_secret(self):
        run = self.start(env={'PASSWORD': 'swordfish'})
        for role, process in run.ready().items():
            with open(f'/proc/{process["pid"]}/environ', 'rb') as file:
                self.assertNotIn(b'swordfish', file.read(), role)
        run.end()

    @unittest.skipUnless(os.getuid() == 0, 'what others may do in namespaces depends')
    def test_no_files_and_no_network(self):
        run = self.start()
        for role, process in run.ready().items():
            pid = process['pid']
            self.assertNotEqual(os.readlink(f'/proc/{pid}/ns/net'),
                                os.readlink('/proc/self/ns/net'), role)
            self.assertEqual(os.listdir(f'/proc/{pid}/root'), [], role)
        run.end()

    @may_look
    def test_inherited_descriptors_stay_outside(self):
        with open(harness.RING3, 'rb') as file:
            run = self.start(pass_fds=[file.fileno()])
            for process in run.ready().values():
                for what in descriptors(process['pid']).values():
                    self.assertNotIn(os.path.basename(harness.RING3) + '/', what)
                    self.assertNotEqual(what, harness.RING3)
            run.end()


class Served(TestCase):
    """The disk is the same as without isolation."""

    def test_data(self):
        source, target = self.image(64 << 20), os.path.join(self.folder, 'out')
        with open(source, 'r+b') as file:
            for _ in range(64):
                file.write(os.urandom(1 << 20))
        status, _, errors = self.run_ring3(
            '--isolate', self.address, *self.export, '--', 'sh', '-c',
            f'nbdcopy --flush {source} "$uri" && nbdcopy "$uri" {target}')
        self.assertEqual(status, 0, errors)
        self.assertEqual(subprocess.run(['cmp', source, target]).returncode, 0)
        self.assertFalse(os.path.exists(self.socket))

    def test_image_of_the_callers(self):
        """It is opened by who calls, however little those are allowed who serve it."""
        image = self.image(1 << 20)
        os.chmod(image, 0o600)
        address = re.sub('size=[0-9]+M', 'drive=' + image, self.address)
        with Isolated(address, *self.export, '-o', 'json') as run:
            run.ready()
            with Client(self.socket).go() as client:
                self.assertEqual(client.write(4096, b'\xa5' * 4096), 0)
                self.assertEqual(client.call(FLUSH), 0)
            self.assertEqual(run.end()[0], 0)
        with open(image, 'rb') as file:
            self.assertEqual(file.read()[4096:8192], b'\xa5' * 4096)

    def test_socket_is_the_callers(self):
        run = self.start()
        run.ready()
        self.assertEqual(os.stat(self.socket).st_uid, os.getuid())
        run.end()

    def test_talkative(self):
        """What is logged may go to a file, which stdio asks more of than it asks of a pipe."""
        for level in 'info', 'debug':
            log = os.path.join(self.folder, level)
            with open(log, 'w') as file:
                done = subprocess.run(
                    [harness.RING3, 'run', '--isolate', '--log-level', level, self.address,
                     *self.export, '--', 'sh', '-c', 'nbdinfo --size "$uri"'],
                    stdout=subprocess.PIPE, stderr=file, text=True)
            with open(log) as file:
                said = file.read()
            self.assertEqual((done.returncode, done.stdout), (0, f'{64 << 20}\n'), said)
            self.assertIn('sandbox driver', said)

    def test_tcp_and_command(self):
        status, out, errors = self.run_ring3(
            '--isolate', self.address, '--export', 'nbd:tcp:127.0.0.1:0', '--', 'sh', '-c',
            'nbdinfo --size "$uri"; exit 5')
        self.assertEqual((status, out), (5, f'{64 << 20}\n'), errors)

    def test_a_device_of_another_broker(self):
        """What a broker lends can be lent on."""
        path = os.path.join(self.folder, 'lent')
        with Lender(self.address, '--listen', 'unix:' + path) as lender:
            status, _, errors = self.run_ring3('--isolate', lender.uri(), *self.export, '--',
                                               'nbdcopy', self.uri, 'null:')
            self.assertEqual(status, 0, errors)
            self.assertEqual(lender.end()[0], 0)

    def test_read_only(self):
        run = self.start('--read-only')
        run.ready()
        with Client(self.socket).go() as client:
            client.read(0, 4096)
            self.assertNotEqual(client.write(0, b'x' * 4096), 0)
        run.end()

    def test_many_connections_and_a_rude_one(self):
        run = self.start()
        run.ready()
        uri = 'nbd+unix:///?socket=' + self.socket
        for _ in range(3):
            with Client(self.socket).go() as rude:
                for i in range(64):
                    rude.send(READ, 65536 * i, 65536)
            subprocess.run(['nbdcopy', '--connections=8', '--requests=32', uri, 'null:'],
                           check=True, timeout=harness.TIMEOUT)
        self.assertEqual(run.end()[0::2][0], 0)


class Refused(TestCase):
    """What cannot work is said once, with the exit code that it has without isolation."""

    def refused(self, status, text, *arguments, **popen):
        with harness.Run('--isolate', *arguments, **popen) as run:
            got, out, errors = run.wait()
            self.assertEqual((got, out), (status, ''), errors)
            lines = [line for line in errors.splitlines() if 'warn: ' not in line]
            self.assertEqual(len(lines), 1, errors)
            self.assertIn(text, lines[0])
            run.check_nothing_left(self, self.socket, seconds=0)

    def test_what_is_not_there(self):
        for text, address, *options in (
                ('no driver', 'qemu:edu'),
                ('no such device', 'qemu:no-such-device'),
                ('no-such-scheme', 'no-such-scheme:x'),
                ('ring3 run', 'null:1M'),
                ('namespace 9', 'qemu:nvme', '--namespace', '9'),
                ('no-such-driver', 'qemu:nvme', '--driver', 'no-such-driver'),
                ('no-such-image', f'qemu:nvme,drive={self.folder}/no-such-image')):
            with self.subTest(address=address, options=options):
                self.refused(ABSENT, text, address, *options, *self.export)

    def test_nbdkit_is_not_installed(self):
        self.refused(ABSENT, 'install nbdkit', self.address, *self.export,
                     env={'PATH': self.folder, 'R3_QEMU': shutil.which('qemu-system-x86_64')})

    def test_path_in_use(self):
        run = self.start()
        run.ready()
        with harness.Run('--isolate', self.address, *self.export) as second:
            status, _, errors = second.wait()
            self.assertEqual(status, 1)
            self.assertIn(self.socket, errors)
            second.check_nothing_left(self, seconds=0)
        self.assertTrue(os.path.exists(self.socket))
        run.end()

    def test_path_of_a_dead_server_is_used_again(self):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(self.socket)
            dead.listen()
        run = self.start()
        run.ready()
        with Client(self.socket).go() as client:
            client.read(0, 4096)
        run.end()


class Kill(TestCase):
    """Whichever dies, nothing is left, and the command is told."""

    # It says when it is there, and whether it was told.
    command = ['sh', '-c', 'trap "echo told; exit 9" TERM; nbdcopy "$uri" null: & echo here; '
               'while :; do sleep 0.1; done']

    def begin(self, command=None):
        run = harness.Run('--isolate', self.address, *self.export, '--',
                          *(command or self.command))
        self.addCleanup(run.__exit__)
        run.uri()  # the command's "here"
        return run

    def victim(self, run, role):
        if role == 'broker':
            return [p for p in run.processes()
                    if p.name() == 'ring3' and p.pid != run.popen.pid][0]
        return run.named(NAMES.get(role, role))

    def check(self, run, *said, status=1):
        run.check_nothing_left(self, self.socket)
        got, out, errors = run.wait()
        self.assertEqual(got, status, errors)
        self.assertEqual(out, 'told\n')
        for text in said:
            self.assertIn(text, errors)

    def test_broker(self):
        run = self.begin()
        self.victim(run, 'broker').kill()
        self.check(run, 'the broker', 'signal 9')

    def test_driver(self):
        run = self.begin()
        self.victim(run, 'driver').kill()
        self.check(run, 'the driver process', 'signal 9')

    def test_export(self):
        run = self.begin()
        self.victim(run, 'export').kill()
        self.check(run, 'nbdkit', 'signal 9')

    def test_qemu(self):
        run = self.begin()
        self.victim(run, 'qemu').kill()
        self.check(run, 'qemu:')

    def test_keeper(self):
        run = self.begin()
        self.victim(run, 'r3-keeper').kill()
        self.check(run, 'keeper')

    def test_ring3(self):
        run = self.begin()
        run.popen.kill()
        run.check_nothing_left(self, self.socket)

    def test_ring3_with_a_client_that_stays(self):
        run = self.begin()
        with Client(self.socket).go():
            run.popen.kill()
            run.check_nothing_left(self, self.socket)

    def test_ring3_at_any_moment_of_its_start(self):
        for name in ('qemu', 'r3-host', 'nbdkit'):
            with self.subTest(name):
                run = harness.Run('--isolate', self.address, *self.export, '--', 'sleep', '1000')
                self.addCleanup(run.__exit__)
                run.named(name)
                run.popen.kill()
                run.check_nothing_left(self, self.socket)

    def test_ring3_while_one_of_them_is_stopped(self):
        for role in ROLES:
            with self.subTest(role):
                run = self.begin()
                self.victim(run, role).kill(signal.SIGSTOP)
                run.popen.kill()  # the keeper waits for who cannot end, and has no more patience
                run.check_nothing_left(self, self.socket, seconds=5)

    def test_each_with_requests_in_flight(self):
        fio = ['sh', '-c', 'echo here; fio --name=busy --ioengine=nbd --uri="$uri" --rw=randrw '
               '--bs=16k --iodepth=32 --size=32M --time_based --runtime=1000 >/dev/null 2>&1']
        for role in ROLES + ['ring3']:
            with self.subTest(role):
                run = self.begin(fio)
                export = run.named('nbdkit')
                before = export.cpu()
                harness.until('traffic', lambda: export.cpu() > before + 10)
                if role == 'ring3':
                    run.popen.kill()
                else:
                    self.victim(run, role).kill()
                run.check_nothing_left(self, self.socket)

    def test_signals_end_it_in_good_order(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                run = self.begin(['sh', '-c', 'echo here; sleep 1000'])
                run.popen.send_signal(number)
                run.check_nothing_left(self, self.socket)
                self.assertEqual(run.wait()[0], 128 + number)

    def test_signal_without_a_command(self):
        run = self.start()
        run.ready()
        with Client(self.socket).go() as client:  # who stays does not keep it
            client.write(0, b'x' * 4096)
            self.assertEqual(run.end()[0], 0)
        run.check_nothing_left(self, self.socket, seconds=0)


class KillVirtio(Kill):
    address = 'qemu:virtio-blk,size=64M'


class ShutVirtio(Shut):
    address = 'qemu:virtio-blk,size=64M'


class ServedVirtio(Served):
    address = 'qemu:virtio-blk,size=64M'


if __name__ == '__main__':
    if not harness.has_qemu_nvme():
        print('no qemu:nvme here')
        raise SystemExit(77)
    harness.main()
