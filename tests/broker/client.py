# SPDX-License-Identifier: BSD-2-Clause
"""A vfio-user client of a few lines (libvfio-user's docs/vfio-user.rst): it can say who it is,
and what no client of ours says."""
import json
import socket
import struct

VERSION, DMA_MAP, DEVICE_GET_INFO = 1, 2, 4
HEADER = struct.Struct('<HHIII')  # message, command, size, flags, error
REPLY, ERROR = 1, 1 << 5


class Client:
    def __init__(self, where, timeout=30):
        if isinstance(where, socket.socket):
            self.socket = where
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(where)
        self.socket.settimeout(timeout)
        self.message = 0

    def send(self, command, body):
        self.message += 1
        self.socket.sendall(HEADER.pack(self.message, command, HEADER.size + len(body), 0, 0) +
                            body)

    def get(self, length):
        data = b''
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                raise EOFError('the server hung up')
            data += more
        return data

    def receive(self):
        """Of the next reply: its error, and what it says."""
        message, _, size, flags, error = HEADER.unpack(self.get(HEADER.size))
        assert message == self.message and flags & REPLY
        return error if flags & ERROR else 0, self.get(size - HEADER.size)

    def call(self, command, body):
        self.send(command, body)
        return self.receive()

    def negotiate(self):
        """Returns what the server can do."""
        can = json.dumps({'capabilities': {'max_msg_fds': 8}}).encode() + b'\0'
        error, body = self.call(VERSION, struct.pack('<HH', 0, 1) + can)
        assert error == 0, error
        return json.loads(body[4:].rstrip(b'\0'))

    def device_info(self):
        error, body = self.call(DEVICE_GET_INFO, struct.pack('<IIII', 16, 0, 0, 0))
        assert error == 0, error
        return struct.unpack_from('<IIII', body)

    def hung_up(self):
        """Wait for the server to hang up."""
        try:
            return self.socket.recv(1) == b''
        except ConnectionResetError:
            return True

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
