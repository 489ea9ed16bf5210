#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""serve.py RING3: what the NBD protocol promises holds in front of file: and null:, for
other people's clients and for one that does what none of them would."""
import fcntl
import json
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import unittest

import client
import harness
from client import Client

MiB = 1 << 20


def unread_by_peer(sock):
    """Bytes sent on a Unix socket that the other side has not read yet."""
    return struct.unpack('i', fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


def readable(sock):
    return select.select([sock], [], [], 0)[0]


class Served(harness.TestCase):
    def serve(self, address, *options):
        run = harness.Run(address, *self.export, *options)
        self.addCleanup(run.__exit__)
        run.uri()
        return run

    def client(self):
        connection = Client(self.socket)
        self.addCleanup(connection.close)
        return connection.go()

    def call(self, *command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=harness.TIMEOUT)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout


class Promises(Served):
    def test_sizes(self):
        for lba, size in ((512, 512), (4096, 12288), (4096, 5 << 40), (512, (1 << 62) + 512)):
            with self.subTest(lba=lba, size=size):
                run = self.serve(f'null:{size},lba={lba}')
                nbd = self.client()
                self.assertEqual((nbd.size, nbd.minimum), (size, lba))
                self.assertGreaterEqual(nbd.preferred, lba)
                self.assertEqual(nbd.maximum % lba, 0)
                self.assertTrue(nbd.flags & client.HAS_MULTI)
                self.assertTrue(nbd.flags & client.HAS_FLUSH)
                self.assertTrue(nbd.flags & client.HAS_FUA)
                nbd.close()
                self.assertEqual(run.end()[0], 0)

    def test_data_is_where_it_belongs(self):
        image = self.image(8 * MiB)
        self.serve('file:' + image)
        nbd, other = self.client(), self.client()
        seed = int(os.environ.get('R3_SEED', random.randrange(1 << 32)))
        print(f'R3_SEED={seed}')
        numbers = random.Random(seed)
        expected = bytearray(8 * MiB)
        for _ in range(200):
            length = 512 * numbers.randint(1, 300)
            offset = 512 * numbers.randint(0, (8 * MiB - length) // 512)
            kind = numbers.choice(('write', 'fua', 'zero', 'read'))
            if kind == 'read':
                # through the other connection: what completed on one holds for all
                self.assertEqual(other.read(offset, length), expected[offset:offset + length])
            elif kind == 'zero':
                flags = numbers.choice((0, client.NO_HOLE, client.FUA))
                self.assertEqual(nbd.call(client.ZERO, offset, length, flags=flags), 0)
                expected[offset:offset + length] = bytes(length)
            else:
                data = numbers.randbytes(length)
                flags = client.FUA if kind == 'fua' else 0
                self.assertEqual(nbd.write(offset, data, flags), 0)
                expected[offset:offset + length] = data
        self.assertEqual(nbd.call(client.FLUSH), 0)
        with open(image, 'rb') as file:
            self.assertEqual(file.read(), expected)

    def test_requests_longer_than_the_device_takes(self):
        image = self.image(64 * MiB)
        self.serve('file:' + image)
        nbd = self.client()
        data = random.Random(1).randbytes(32 * MiB)
        self.assertEqual(nbd.write(512, data), 0)
        self.assertEqual(nbd.read(512, len(data)), data)

    def test_trim_and_zero_give_space_back(self):
        image = self.image(8 * MiB)
        run = self.serve('file:' + image)
        nbd = self.client()

        def used():
            return os.stat(image).st_blocks * 512

        def fill():
            self.assertEqual(nbd.write(0, b'x' * (8 * MiB)), 0)
            self.assertEqual(nbd.call(client.FLUSH), 0)
            self.assertGreaterEqual(used(), 8 * MiB)

        fill()
        self.assertEqual(nbd.call(client.TRIM, MiB, 4 * MiB), 0)
        self.assertLess(used(), 5 * MiB)
        self.assertEqual(nbd.read(0, 512), b'x' * 512)
        self.assertEqual(nbd.read(5 * MiB, 512), b'x' * 512)
        fill()
        self.assertEqual(nbd.call(client.TRIM, MiB, 4 * MiB, flags=client.FUA), 0)
        fill()
        self.assertEqual(nbd.call(client.ZERO, MiB, 4 * MiB), 0)
        self.assertLess(used(), 5 * MiB)
        self.assertEqual(nbd.read(MiB, 4 * MiB), bytes(4 * MiB))
        fill()
        self.assertEqual(nbd.call(client.ZERO, MiB, 4 * MiB, flags=client.NO_HOLE), 0)
        self.assertGreaterEqual(used(), 8 * MiB)
        self.assertEqual(nbd.read(MiB, 4 * MiB), bytes(4 * MiB))
        nbd.close()
        self.assertEqual(run.end()[0], 0)

    def test_read_only(self):
        image = self.image(MiB)
        self.serve('file:' + image, '--read-only')
        nbd = self.client()
        self.assertTrue(nbd.flags & client.HAS_READ_ONLY)
        self.assertEqual(nbd.write(0, b'x' * 512), client.EPERM)
        self.assertEqual(nbd.call(client.TRIM, 0, 512), client.EPERM)
        self.assertEqual(nbd.call(client.ZERO, 0, 512), client.EPERM)
        self.assertEqual(nbd.read(0, 512), bytes(512))

    def test_odd_requests_fail_alone(self):
        self.serve('null:1M,lba=4096')
        nbd = self.client()
        for command, offset, length, data in (
                (client.READ, 512, 4096, b''), (client.READ, 0, 512, b''),
                (client.READ, MiB, 4096, b''), (client.READ, MiB - 4096, 8192, b''),
                (client.READ, 0xffffffffffff0000, 4096, b''),
                (client.WRITE, 1, 3, b'abc'), (client.TRIM, 512, 512, b''),
                (client.ZERO, MiB, 4096, b''), (77, 0, 0, b'')):
            with self.subTest(command=command, offset=offset, length=length):
                self.assertNotEqual(nbd.call(command, offset, length, data), 0)
        self.assertEqual(nbd.read(0, 4096), bytes(4096))


class Hostile(Served):
    """Some clients send garbage, some vanish; the others notice nothing."""

    def setUp(self):
        super().setUp()
        self.path = self.image(16 * MiB)
        self.run = self.serve('file:' + self.path)
        self.good = self.client()
        self.assertEqual(self.good.write(0, b'good' * 1024), 0)

    def check(self):
        self.assertEqual(self.good.read(0, 4096), b'good' * 1024)
        self.assertEqual(self.good.call(client.FLUSH), 0)
        with Client(self.socket).go() as fresh:
            self.assertEqual(fresh.size, 16 * MiB)

    def test_garbage_instead_of_a_handshake(self):
        numbers = random.Random(2)
        for length in (1, 4, 17, 4096):
            with Client(self.socket) as bad:
                bad.socket.sendall(numbers.randbytes(length))
            self.check()

    def test_options_that_lie(self):
        for number, length in ((client.OPT_GO, 0xffffffff), (99, 1 << 30), (client.OPT_GO, 3)):
            with Client(self.socket) as bad:
                bad.handshake()
                bad.socket.sendall(b'IHAVEOPT' + struct.pack('>II', number, length) + b'abc')
            self.check()

    def test_garbage_instead_of_a_request(self):
        for data in (bytes(28), b'\xff' * 28, b'\x25\x60\x95\x13' + b'\xff' * 24):
            with Client(self.socket).go() as bad:
                bad.socket.sendall(data)
            self.check()

    def test_half_a_request(self):
        with Client(self.socket).go() as bad:
            bad.socket.sendall(struct.pack('>IHH', 0x25609513, 0, client.WRITE))
        with Client(self.socket).go() as bad:
            bad.send(client.WRITE, 8192, MiB, b'half')
        self.check()
        self.assertEqual(self.good.read(8192, 512), bytes(512))

    def test_who_does_not_wait_for_replies(self):
        for _ in range(20):
            with Client(self.socket).go() as bad:
                for i in range(40):
                    bad.send(client.READ, i * 65536, 65536)
        self.check()

    def test_who_leaves_while_replies_queue_up(self):
        def garbage(bad):
            bad.sendall(b'\xff' * 28)

        def half(bad):
            bad.sendall(struct.pack('>IHH', 0x25609513, 0, client.READ))
            bad.shutdown(socket.SHUT_WR)

        def end(bad):
            bad.shutdown(socket.SHUT_WR)

        for leave in (garbage, half, end, lambda bad: None):
            with Client(self.socket).go() as bad:
                for i in range(10):
                    bad.send(client.READ, i * MiB, MiB)
                # What is taken is at the device; a reply fills the socket, the others wait.
                harness.until('requests taken', lambda: unread_by_peer(bad.socket) == 0)
                harness.until('a first reply', lambda: readable(bad.socket))
                leave(bad.socket)
                self.check()
            self.check()

    def test_a_crowd(self):
        crowd = [Client(self.socket) for _ in range(60)]
        for bad in crowd[::2]:
            bad.go().send(client.READ, 0, 4096)
        self.check()
        for bad in crowd:
            bad.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            bad.close()
        self.check()

    def tearDown(self):
        self.check()
        self.good.close()
        self.assertEqual(self.run.end()[0], 0)


class OtherPeoplesClients(Served):
    address = 'file:{image},lba={lba}'

    def serve_image(self, image, lba=512):
        return self.serve(self.address.format(image=image, lba=lba))

    def random_image(self, size):
        path = os.path.join(self.folder, 'random')
        with open(path, 'wb') as file:
            file.write(random.Random(3).randbytes(size))
        return path

    def test_nbdinfo(self):
        self.serve_image(self.image(5 << 30), 4096)
        export = json.loads(self.call('nbdinfo', '--json', '--no-content', self.uri))['exports'][0]
        self.assertEqual(export['export-size'], 5 << 30)
        self.assertEqual(export['block_size_minimum'], 4096)

    def test_nbdcopy(self):
        for lba in (512, 4096):
            source = self.random_image(24 * MiB)
            target = self.image(24 * MiB)
            run = self.serve_image(target, lba)
            self.call('nbdcopy', '--flush', source, self.uri)
            self.call('cmp', source, target)
            copy = os.path.join(self.folder, 'copy')
            self.call('nbdcopy', self.uri, copy)
            self.call('cmp', source, copy)
            self.assertEqual(run.end()[0], 0)

    @unittest.skipUnless(shutil.which('qemu-io'), 'no qemu-io')
    def test_qemu_io(self):
        self.serve_image(self.image(8 * MiB), 4096)
        # Bytes that are no blocks: qemu reads, changes and writes them back.
        commands = ['write -P 7 4095 4099', 'read -P 7 4095 4099', 'read -P 0 8194 999',
                    'write -z 4096 4096', 'read -P 0 4096 4096', 'read -P 7 4095 1',
                    'discard 0 1M', 'flush', 'write -f -P 9 0 65536', 'read -P 9 0 65536']
        out = self.call('qemu-io', '-f', 'raw', *[part for text in commands
                                                  for part in ('-c', text)], self.uri)
        self.assertNotIn('fail', out.lower())

    @unittest.skipUnless(shutil.which('qemu-img'), 'no qemu-img')
    def test_qemu_img(self):
        source = self.random_image(8 * MiB)
        self.serve_image(self.image(8 * MiB))
        self.call('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', source, self.uri)
        self.call('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, self.uri)

    @unittest.skipUnless(shutil.which('fio'), 'no fio')
    def test_fio(self):
        self.serve_image(self.image(16 * MiB))
        out = self.call('fio', '--name=verify', '--ioengine=nbd', '--uri=' + self.uri,
                        '--rw=randrw', '--bs=4k', '--iodepth=32', '--size=16M', '--verify=crc32c',
                        '--verify_state_save=0', '--output-format=json')
        job = json.loads(out[out.index('{'):])['jobs'][0]
        self.assertEqual(job['error'], 0)
        self.assertGreater(job['read']['total_ios'], 0)


@unittest.skipUnless(harness.has_qemu_nvme(), 'no qemu:nvme here')
class Nvme(Served):
    def test_sizes(self):
        for lba, mode in ((512, 'interrupt'), (4096, 'adaptive')):
            run = self.serve(f'qemu:nvme,size=64M,lba={lba}', '--mode', mode)
            nbd = self.client()
            self.assertEqual((nbd.size, nbd.minimum), (64 * MiB, lba))
            data = random.Random(4).randbytes(3 * MiB)
            self.assertEqual(nbd.write(lba, data, client.FUA), 0)
            self.assertEqual(nbd.read(lba, len(data)), data)
            self.assertEqual(nbd.call(client.ZERO, lba, MiB), 0)
            self.assertEqual(nbd.read(0, 2 * MiB), bytes(MiB + lba) + data[MiB:2 * MiB - lba])
            nbd.close()
            self.assertEqual(run.end()[0], 0)

    def test_requests_wait_for_the_device_side_by_side(self):
        for mode in ('interrupt', 'adaptive'):
            with self.subTest(mode):
                self.wait_side_by_side(mode)

    def wait_side_by_side(self, mode):
        run = self.serve('qemu:nvme,size=64M', '--mode', mode)
        nbd = self.client()
        qemu = run.named('qemu')
        qemu.kill(signal.SIGSTOP)
        handles = {nbd.send(client.READ, i * 4096, 4096) for i in range(48)}
        # A request stays in the socket until a thread is free to take it.
        harness.until('all taken', lambda: unread_by_peer(nbd.socket) == 0)
        self.assertFalse(readable(nbd.socket))
        qemu.kill(signal.SIGCONT)
        for _ in range(48):
            handle, error = nbd.reply()
            self.assertEqual(error, 0)
            self.assertEqual(nbd.get(4096), bytes(4096))
            handles.remove(handle)
        nbd.close()
        self.assertEqual(run.end()[0], 0)


@unittest.skipUnless(harness.has_qemu_nvme(), 'no qemu:nvme here')
class NvmeClients(OtherPeoplesClients):
    address = 'qemu:nvme,drive={image},lba={lba}'


harness.main()
