#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""kill.py RING3: whichever process of a run is killed, two seconds later nothing is left."""
import os
import signal
import socket
import time
import unittest

import harness
from client import READ, Client

QEMU = 'qemu:nvme,size=64M'


class Kill(harness.TestCase):
    address = 'null:64M'
    victims = ('ring3', 'nbdkit', 'fio', 'sh')
    # A command with a child in its group, busy with the export; both say when they are there.
    command = ['sh', '-c', 'nbdcopy --connections=2 "$uri" null: >/dev/null; '
               'sleep 1000 & echo here; wait; exit 3']

    def start(self, command=None):
        run = harness.Run(self.address, *self.export, '--', *(command or self.command))
        self.addCleanup(run.__exit__)
        run.uri()  # the command's "here"
        self.assertTrue(os.path.exists(self.socket))
        return run

    def check(self, run):
        run.check_nothing_left(self, self.socket)
        return run.wait()

    def test_ring3(self):
        run = self.start()
        run.popen.kill()
        self.check(run)

    def test_ring3_with_a_client_that_stays(self):
        run = self.start()
        with Client(self.socket).go():
            run.popen.kill()
            self.check(run)

    def test_ring3_before_it_serves(self):
        run = harness.Run(self.address, *self.export, '--', 'sleep', '1000')
        self.addCleanup(run.__exit__)
        run.named('nbdkit')
        run.popen.kill()
        self.check(run)

    def test_nbdkit(self):
        run = self.start()
        run.named('nbdkit').kill()
        status, _, errors = self.check(run)
        self.assertEqual(status, 1)
        self.assertIn('nbdkit has ended', errors)

    def test_command(self):
        run = self.start()
        run.named('sh').kill()
        self.assertEqual(self.check(run)[0], 128 + signal.SIGKILL)

    def test_child_of_the_command(self):
        run = self.start()
        run.named('sleep').kill()
        self.assertEqual(self.check(run)[0], 3)

    def test_each_of_them_with_requests_in_flight(self):
        fio = ['sh', '-c', 'echo here; fio --name=busy --ioengine=nbd --uri="$uri" --rw=randrw '
               '--bs=16k --iodepth=32 --size=64M --time_based --runtime=1000 >/dev/null 2>&1']
        for victim in self.victims:
            with self.subTest(victim):
                run = self.start(fio)
                nbdkit = run.named('nbdkit')
                before = nbdkit.cpu()
                harness.until('traffic', lambda: nbdkit.cpu() > before + 10)
                run.named(victim).kill()
                self.check(run)

    def test_signals_end_it_in_good_order(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number):
                run = self.start()
                run.popen.send_signal(number)
                self.assertEqual(self.check(run)[0], 128 + number)

    def test_a_command_that_ignores_signals(self):
        run = self.start(['sh', '-c', 'trap "" TERM INT; echo here; while :; do sleep 1000; done'])
        run.popen.terminate()
        run.check_nothing_left(self, self.socket, seconds=8)
        self.assertEqual(run.wait()[0], 128 + signal.SIGKILL)

    def test_signals_without_a_command(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number), harness.Run(self.address, *self.export) as run:
                run.uri()
                with Client(self.socket).go():  # who stays does not keep it
                    self.assertEqual(run.end(number)[0], 0)
                run.check_nothing_left(self, self.socket)

    def test_what_left_the_group_is_ended_too(self):
        gate = os.path.join(self.folder, 'gate')
        os.mkfifo(gate)
        run = self.start(['sh', '-c', 'setsid sh -c "sleep 1000 & sleep 1000" & echo here; '
                          f'cat {gate}'])
        open(gate, 'w').close()
        self.assertEqual(self.check(run)[0], 0)

    def test_a_socket_put_in_place_of_ours_is_not_removed(self):
        run = self.start()
        os.unlink(self.socket)
        other = socket.socket(socket.AF_UNIX)
        self.addCleanup(other.close)
        other.bind(self.socket)
        run.popen.terminate()
        run.check_nothing_left(self)
        run.wait()
        self.assertTrue(os.path.exists(self.socket))


@unittest.skipUnless(harness.has_qemu_nvme(), 'no qemu:nvme here')
class KillQemu(Kill):
    address = QEMU
    victims = ('ring3', 'nbdkit', 'qemu', 'fio', 'sh')

    def test_qemu(self):
        run = self.start()
        run.named('qemu').kill()
        status, _, errors = self.check(run)
        self.assertEqual(status, 1)
        self.assertIn(self.address.split(',')[0], errors)

    def test_qemu_without_a_command(self):
        with harness.Run(self.address, *self.export) as run:
            run.uri()
            run.named('qemu').kill()
            self.assertEqual(self.check(run)[0], 1)

    def hang(self):
        """A run whose device does not answer, with a request in flight."""
        run = self.start(['sh', '-c', 'echo here; sleep 1000'])
        connection = Client(self.socket)
        self.addCleanup(connection.close)
        connection.go()
        run.named('qemu').kill(signal.SIGSTOP)
        connection.send(READ, 0, 4096)
        return run

    def test_ring3_while_the_device_hangs(self):
        run = self.hang()
        # Within half a second the driver asks the controller how it is, and hears nobody
        # else from then on.
        begin = time.monotonic()
        harness.until('a look at the controller', lambda: time.monotonic() > begin + 1)
        run.popen.kill()
        self.check(run)

    def test_signal_while_the_device_hangs(self):
        run = self.hang()
        run.popen.terminate()
        run.check_nothing_left(self, self.socket, seconds=harness.TIMEOUT)
        self.assertEqual(run.wait()[0], 128 + signal.SIGTERM)

    def test_all_at_once(self):
        run = self.start()
        for process in run.processes():
            if process.name().startswith(('ring3', 'qemu')):
                process.kill()
        self.check(run)


harness.main()
