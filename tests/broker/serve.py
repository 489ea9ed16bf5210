#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""serve.py RING3: `ring3 serve` from its first word to its last."""
import json
import os
import signal
import socket
import stat
import subprocess
import unittest

import harness
import procs
from client import Client

OK, FAILED, USAGE, ABSENT, NOT_PERMITTED = range(5)
DEVICE = 'qemu:edu'
SOME_UID = 61199  # nobody's
DEATH = ['disconnected', 'irq_off', 'bus_master_off', 'quiesced', 'reset', 'freed', 'ready']


class Serve(harness.Run):
    command = 'serve'

    def ready(self):
        return self.uri()

    def wait(self):
        """As any run's; what this kernel or this build lacks for a sandbox is not our matter."""
        status, out, errors = super().wait()
        return status, out, ''.join(line for line in errors.splitlines(keepends=True)
                                    if ': sandbox broker: ' not in line)


def status_of(pid):
    with open(f'/proc/{pid}/status') as file:
        return dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)


class TestCase(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.listen = ['--listen', 'unix:' + self.socket]

    def serve(self, *options, address=DEVICE, **popen):
        run = Serve(address, *self.listen, *options, **popen)
        self.addCleanup(run.__exit__)
        return run

    def ended(self, run, status=OK, errors=''):
        """It ends with this status, says no more than that, and leaves nothing."""
        got, out, said = run.wait()
        self.assertEqual((got, out), (status, ''), said)
        if errors:
            self.assertRegex(said, errors)
        else:
            self.assertEqual(said, '')
        run.check_nothing_left(self, self.socket, seconds=0)


class Refused(TestCase):
    def refused(self, status, text, *arguments, **popen):
        with Serve(*arguments, **popen) as run:
            got, out, errors = run.wait()
            self.assertEqual((got, out), (status, ''), errors)
            self.assertRegex(errors, r'^ring3: [^\n]*\n$')
            self.assertIn(text, errors)
            run.check_nothing_left(self, seconds=0)

    def test_arguments(self):
        for text, *arguments in (
                ('ADDRESS', *self.listen),
                ('--listen unix:PATH', DEVICE),
                ('unix:PATH or fd:N', DEVICE, '--listen', self.socket),
                ('unix:PATH or fd:N', DEVICE, '--listen', 'unix:'),
                ('fd:N', DEVICE, '--listen', 'fd:'),
                ('fd:N', DEVICE, '--listen', 'fd:-1'),
                ('fd:N', DEVICE, '--listen', 'fd:3x'),
                ('107', DEVICE, '--listen', 'unix:/' + 'x' * 107),
                ('reset or retain', DEVICE, *self.listen, '--on-disconnect', 'explode'),
                ('max-maps', DEVICE, *self.listen, '--max-maps', '0'),
                ('max-fds', DEVICE, *self.listen, '--max-fds', 'many'),
                ('max-bytes', DEVICE, *self.listen, '--max-bytes', '12Q'),
                ('--events', DEVICE, *self.listen, '--events', 'fd:99'),
                ('--owner', DEVICE, *self.listen, '--owner', 'fd:x'),
                ('uid', DEVICE, *self.listen, '--uid', '0'),
                ('sandbox', DEVICE, *self.listen, '--uid', '7', '--no-sandbox'),
                ('address', ':', *self.listen)):
            with self.subTest(arguments):
                self.refused(USAGE, text, *arguments)

    def test_what_is_not_there(self):
        for text, *arguments in (
                ('no-such-scheme', 'no-such-scheme:x', *self.listen),
                ('no such device', 'qemu:no-such-device', *self.listen),
                ('ring3 run', 'null:1M', *self.listen),
                ('folder', DEVICE, '--listen', f'unix:{self.folder}/none/s'),
                ('none', DEVICE, *self.listen, '--events', f'{self.folder}/none/e')):
            with self.subTest(arguments):
                self.refused(ABSENT, text, *arguments)

    def test_a_descriptor_that_is_no_socket(self):
        with open('/dev/null') as null:
            self.refused(USAGE, 'fd:', DEVICE, '--listen', f'fd:{null.fileno()}',
                         pass_fds=[null.fileno()])

    def test_busy(self):
        first = self.serve()
        first.ready()
        self.refused(FAILED, self.socket, DEVICE, *self.listen)
        self.assertTrue(os.path.exists(self.socket))
        first.end()

    def test_path_of_a_file(self):
        path = self.image(1)
        self.refused(FAILED, path, DEVICE, '--listen', 'unix:' + path)
        self.assertTrue(os.path.exists(path))

    @unittest.skipUnless(os.getuid() == 0, 'only root can become somebody else')
    def test_uid_is_for_root(self):
        user = {'user': 65534, 'group': 65534, 'extra_groups': []}
        try:  # the build may lie where nobody else may look
            subprocess.run([harness.RING3, 'version'], capture_output=True, check=True, **user)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest('an ordinary user cannot reach the program')
        self.refused(NOT_PERMITTED, 'root', DEVICE, *self.listen, '--uid', str(SOME_UID), **user)


@unittest.skipUnless(harness.has_qemu_nvme(), 'no qemu: here')
class Life(TestCase):
    def test_ready_line(self):
        run = self.serve()
        self.assertEqual(run.ready(), 'vfio-user:unix:' + self.socket)
        self.assertEqual(stat.S_IMODE(os.stat(self.socket).st_mode), 0o600)
        run.popen.terminate()
        self.ended(run)

    def test_ready_line_is_an_address(self):
        path = os.path.join(self.folder, 'a+b,c')
        with Serve(DEVICE, '--listen', 'unix:' + path) as run:
            self.assertEqual(run.ready(), f'vfio-user:unix:{self.folder}/a%2Bb%2Cc')
            run.end()

    def test_json(self):
        run = self.serve('-o', 'json')
        line = json.loads(run.ready())
        self.assertEqual(list(line), ['schema', 'version', 'address', 'device', 'pid', 'uid',
                                      'sandbox'])
        self.assertEqual((line['schema'], line['version'], line['pid']),
                         ('ring3.serve', 1, run.popen.pid))
        self.assertEqual((line['address'], line['device']),
                         ('vfio-user:unix:' + self.socket, DEVICE))
        self.assertEqual(line['sandbox']['profile'], 'broker')
        run.popen.terminate()
        self.ended(run)

    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            for connected in (False, True):
                with self.subTest(number=number, connected=connected):
                    run = self.serve()
                    run.ready()
                    client = Client(self.socket) if connected else None
                    if client:
                        client.negotiate()
                        client.device_info()
                    run.popen.send_signal(number)
                    if client:
                        self.assertTrue(client.hung_up())
                        client.close()
                    self.assertEqual(run.wait()[0], OK)
                    run.check_nothing_left(self, self.socket, seconds=0)

    def test_kill(self):
        run = self.serve()
        run.ready()
        with Client(self.socket) as client:
            client.negotiate()
            run.popen.kill()
            self.assertTrue(client.hung_up())
        run.check_nothing_left(self, self.socket)

    def test_stale_socket(self):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(self.socket)
            dead.listen()
        run = self.serve()
        run.ready()
        with Client(self.socket) as client:
            client.negotiate()
        run.popen.terminate()
        self.assertEqual(run.wait()[0], OK)
        self.assertFalse(os.path.exists(self.socket))

    def test_a_socket_put_in_place_of_ours_is_not_removed(self):
        run = self.serve()
        run.ready()
        os.unlink(self.socket)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.socket)
            run.end()
            self.assertTrue(os.path.exists(self.socket))

    def test_who_takes_the_place_of_a_killed_one_keeps_it(self):
        run = self.serve()
        run.ready()
        keeper = next(p for p in procs.processes()
                      if p.name() == 'r3-keeper' and p.parent() == run.popen.pid)
        keeper.kill(signal.SIGSTOP)  # as on a machine that has much to do
        run.popen.kill()
        run.popen.wait()
        os.unlink(self.socket)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(self.socket)  # often with the number that the file had
            keeper.kill(signal.SIGCONT)
            procs.until('the keeper ends', lambda: not keeper.alive())
            self.assertTrue(os.path.exists(self.socket))

    def test_owner(self):
        feel, hold = os.pipe()
        run = self.serve('--owner', f'fd:{feel}', pass_fds=[feel])
        os.close(feel)
        run.ready()
        os.close(hold)
        self.ended(run)

    def test_listening_descriptor(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.socket)
            listener.listen()
            fd = listener.fileno()
            with Serve(DEVICE, '--listen', f'fd:{fd}', pass_fds=[fd]) as run:
                self.assertEqual(run.ready(), f'vfio-user:fd:{fd}')
                for _ in range(3):
                    with Client(self.socket) as client:
                        client.negotiate()
                        client.device_info()
                self.assertEqual(run.end()[0], OK)
        self.assertTrue(os.path.exists(self.socket))  # it was not the broker's to remove

    def test_connected_descriptor(self):
        ours, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            run = Serve(DEVICE, '--listen', f'fd:{fd}', pass_fds=[fd])
        self.addCleanup(run.__exit__)
        run.ready()
        with Client(ours) as client:
            client.negotiate()
            client.device_info()
        self.ended(run)

    def test_killed_under_load(self):
        """The driver learns of it, and ends by itself. How soon it learns, tests/serve measures."""
        run = self.serve(address='qemu:nvme,size=64M')
        driver = subprocess.Popen([harness.RING3, 'bench', run.ready(), '--time', '1000s',
                                   '--warmup', '0s'], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        self.addCleanup(driver.kill)
        process = harness.Process(driver.pid)
        harness.until('a load', lambda: process.cpu() > 10)
        run.popen.kill()
        _, errors = driver.communicate(timeout=5)
        self.assertEqual(driver.returncode, FAILED, errors)
        self.assertRegex(errors, r'server lost\n(.*\n)*ring3: [^\n]*No such device')
        run.check_nothing_left(self, self.socket)

    def test_lost_device(self):
        run = self.serve()
        run.ready()
        with Client(self.socket) as client:
            client.negotiate()
            run.named('qemu').kill()
            # the client stays, and is sent away
            self.ended(run, FAILED, r'\nring3: qemu:edu: [^\n]*gone[^\n]*\n\Z')

    def test_lost_device_without_a_client(self):
        run = self.serve()
        run.ready()
        run.named('qemu').kill()
        self.ended(run, FAILED, 'qemu:edu')


@unittest.skipUnless(harness.has_qemu_nvme(), 'no qemu: here')
class Clients(TestCase):
    def events(self, *options):
        """A server whose events can be read, and a function that waits for one of them."""
        path = os.path.join(self.folder, 'events')
        run = self.serve('--events', path, *options)
        run.ready()
        taken = 0

        def until(name):
            nonlocal taken
            found = []

            def look():
                with open(path) as file:
                    found[:] = [json.loads(line) for line in file.readlines()[taken:]]
                return name in [event['event'] for event in found]

            harness.until(f'event {name}', look)
            end = [event['event'] for event in found].index(name) + 1
            taken += end
            return found[:end]

        return run, until

    def test_death_has_an_order(self):
        run, until = self.events()
        until('ready')
        for number in (1, 2, 3):
            client = Client(self.socket)
            client.negotiate()
            self.assertEqual(until('connected')[-1]['client'], number)
            client.close()
            got = until('ready')
            self.assertEqual([event['event'] for event in got], DEATH)
            times = [event['time_ns'] for event in got]
            self.assertEqual(times, sorted(times))
            for event in got:
                self.assertEqual((event['schema'], event['version']), ('ring3.serve.event', 1))
        run.popen.terminate()
        self.assertEqual(run.wait()[0], OK)

    def test_second_client_is_refused(self):
        run, until = self.events()
        with Client(self.socket) as first:
            first.negotiate()
            with Client(self.socket) as second:
                self.assertTrue(second.hung_up())
            refused = until('refused')[-1]
            self.assertEqual(refused['pid'], os.getpid())
            self.assertTrue(refused['err'])
            first.device_info()  # it is not disturbed
        until('disconnected')
        with Client(self.socket) as third:
            third.negotiate()
        run.popen.terminate()
        status, _, errors = run.wait()
        self.assertEqual(status, OK)
        self.assertRegex(errors, r'\Aring3: warn: [^\n]*refused: client 2[^\n]*\n\Z')

    def sent_away(self):
        """Somebody comes who speaks no vfio-user."""
        with Client(self.socket) as client:
            client.socket.sendall(b'\xff' * 16)
            self.assertTrue(client.hung_up())

    def test_who_is_sent_away_is_told_of(self):
        run, until = self.events()
        self.sent_away()
        gone = until('refused')[-1]  # it has never said who it is
        run.popen.terminate()
        _, _, errors = run.wait()
        self.assertRegex(errors, r'\Aring3: warn: [^\n]*client 1[^\n]*\n\Z')
        self.assertTrue(gone['err'] and gone['text'], gone)

    def test_retain(self):
        run, until = self.events('--on-disconnect', 'retain')
        until('ready')
        with Client(self.socket) as client:
            client.negotiate()
        names = [event['event'] for event in until('ready')]
        self.assertIn('bus_master_off', names)
        self.assertNotIn('reset', names)
        run.end()

    def test_who_reads_events_slowly(self):
        """More than a pipe holds: nobody waits, and what is missing is counted."""
        read, write = os.pipe()
        run = self.serve('--events', f'fd:{write}', pass_fds=[write])
        os.close(write)
        run.ready()
        for _ in range(120):
            with Client(self.socket) as client:
                client.negotiate()
                client.device_info()
        os.set_blocking(read, True)
        run.popen.terminate()
        text = b''
        with os.fdopen(read, 'rb') as pipe:
            while more := pipe.read(65536):
                text += more
        self.assertEqual(run.wait()[0], OK)
        lines = [json.loads(line) for line in text.splitlines()]
        lost = sum(line['lines'] for line in lines if line['event'] == 'lost')
        told = sum(line['event'] == 'connected' for line in lines)
        self.assertTrue(lost > 0 and told > 0, (lost, told))


    def test_nobody_reads_the_log(self):
        """Whoever is refused is told of there. More than a pipe holds, and it serves on."""
        run = self.serve()
        run.ready()
        with Client(self.socket) as first:
            first.negotiate()
            for _ in range(1200):
                self.sent_away()
            first.device_info()
        run.popen.send_signal(signal.SIGTERM)
        self.assertEqual(run.popen.wait(harness.TIMEOUT), OK)
        self.assertGreater(len(run.popen.stderr.read()), 50000)

    def test_readers_that_go(self):
        """Of the log, of the output, of the events: none of them ends it."""
        read, write = os.pipe()
        run = self.serve('--events', f'fd:{write}', pass_fds=[write])
        os.close(write)
        run.ready()
        os.close(read)
        run.popen.stdout.close()
        run.popen.stderr.close()
        with Client(self.socket) as first:
            first.negotiate()
            self.sent_away()
            first.device_info()
        with Client(self.socket) as second:
            second.negotiate()
        run.popen.terminate()
        self.assertEqual(run.popen.wait(harness.TIMEOUT), OK)


@unittest.skipUnless(harness.has_qemu_nvme(), 'no qemu: here')
class Sandbox(TestCase):
    def report(self, run):
        report = json.loads(run.ready())
        if 'sanitizer' in str(report['sandbox']):
            self.skipTest('a sanitizer makes calls that no list has')
        return report

    def check(self, pid, uid):
        status = status_of(pid)
        self.assertEqual((status['NoNewPrivs'], status['Seccomp']), ('1', '2'))
        for name in ('CapEff', 'CapPrm', 'CapInh', 'CapAmb'):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertEqual(status['Uid'].split(), [str(uid)] * 4)
        return status

    def test_as_who_we_are(self):
        run = self.serve('-o', 'json')
        report = self.report(run)
        self.check(run.popen.pid, os.getuid())
        self.assertIn('uid', [missing['part'] for missing in report['sandbox']['missing']])
        self.assertEqual(report['uid'], os.getuid())
        run.popen.terminate()
        self.ended(run)

    @unittest.skipUnless(os.getuid() == 0, 'only root can become somebody else')
    def test_as_a_user_without_account(self):
        run = self.serve('--uid', str(SOME_UID), '-o', 'json')
        report = self.report(run)
        status = self.check(run.popen.pid, SOME_UID)
        self.assertEqual(int(status['CapBnd'], 16), 0)
        self.assertEqual(status['Groups'].strip(), '')
        self.assertNotIn('uid', [missing['part'] for missing in report['sandbox']['missing']])
        qemu = status_of(run.named('qemu').pid)
        self.assertEqual(qemu['Uid'].split() + qemu['Gid'].split(), [str(SOME_UID)] * 8)
        self.assertEqual(int(qemu['CapEff'], 16), 0)
        with Client(self.socket) as client:  # root's socket, served by who is not root any more
            client.negotiate()
            client.device_info()
        run.popen.terminate()
        self.ended(run)  # the socket is in a folder of root's, and gone nonetheless

    def test_without(self):
        run = self.serve('--no-sandbox', '-o', 'json')
        self.assertIsNone(json.loads(run.ready())['sandbox'])
        self.assertEqual(status_of(run.popen.pid)['Seccomp'], '0')
        run.popen.terminate()
        self.ended(run)


harness.main()
