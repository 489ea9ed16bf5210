# SPDX-License-Identifier: BSD-2-Clause
"""An NBD client of a few lines, to say what no proper client says. It speaks the fixed
newstyle handshake and simple replies (the NBD protocol, doc/proto.md)."""
import socket
import struct

READ, WRITE, DISC, FLUSH, TRIM, _, ZERO = range(7)
FUA, NO_HOLE = 1 << 0, 1 << 1
OPT_ABORT, OPT_GO = 2, 7
INFO_EXPORT, INFO_BLOCK_SIZE = 0, 3
REP_ACK, REP_INFO = 1, 3

HAS_READ_ONLY, HAS_FLUSH, HAS_FUA = 1 << 1, 1 << 2, 1 << 3
HAS_TRIM, HAS_ZERO, HAS_MULTI = 1 << 5, 1 << 6, 1 << 8

EPERM, EIO, EINVAL = 1, 5, 22


class Client:
    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.handle = 0

    def get(self, length):
        data = b''
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                raise EOFError('the server hung up')
            data += more
        return data

    def unpack(self, layout):
        return struct.unpack(layout, self.get(struct.calcsize(layout)))

    def handshake(self):
        magic, option, _ = self.unpack('>8s8sH')
        assert (magic, option) == (b'NBDMAGIC', b'IHAVEOPT')
        self.socket.sendall(struct.pack('>I', 3))
        return self

    def option(self, number, data=b''):
        self.socket.sendall(b'IHAVEOPT' + struct.pack('>II', number, len(data)) + data)

    def go(self):
        """Choose the export, and learn its size, flags and block sizes."""
        self.handshake()
        self.option(OPT_GO, struct.pack('>IHH', 0, 1, INFO_BLOCK_SIZE))
        while True:
            _, _, kind, length = self.unpack('>QIII')
            data = self.get(length)
            if kind == REP_ACK:
                return self
            assert kind == REP_INFO, kind
            info = struct.unpack('>H', data[:2])[0]
            if info == INFO_EXPORT:
                self.size, self.flags = struct.unpack('>QH', data[2:])
            elif info == INFO_BLOCK_SIZE:
                self.minimum, self.preferred, self.maximum = struct.unpack('>III', data[2:])

    def send(self, command, offset=0, length=0, data=b'', flags=0):
        self.handle += 1
        self.socket.sendall(struct.pack('>IHHQQI', 0x25609513, flags, command, self.handle,
                                        offset, length) + data)
        return self.handle

    def reply(self):
        """(handle, error) of the next reply. The data of a READ are the caller's to get."""
        magic, error, handle = self.unpack('>IIQ')
        assert magic == 0x67446698, hex(magic)
        return handle, error

    def call(self, command, offset=0, length=0, data=b'', flags=0):
        """One request: its error, or 0."""
        handle = self.send(command, offset, length, data, flags)
        got, error = self.reply()
        assert got == handle
        return error

    def read(self, offset, length):
        assert self.call(READ, offset, length) == 0
        return self.get(length)

    def write(self, offset, data, flags=0):
        return self.call(WRITE, offset, len(data), data, flags)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
