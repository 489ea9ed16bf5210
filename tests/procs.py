# SPDX-License-Identifier: BSD-2-Clause
"""What tests ask about processes: which there are, what became of them, what they hold."""
import os
import shutil
import signal
import time
import uuid

TIMEOUT = 30  # generous: how long anything may take


def until(what, condition, seconds=TIMEOUT):
    """Wait for CONDITION to become true; its last value. WHAT, a text or what makes one, is
    said when it does not."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'{what() if callable(what) else what}: not within {seconds} s')
        time.sleep(0.01)


def remove(folder):
    """Remove a folder, though somebody else may be at it: whoever is killed leaves a keeper, which
    removes the sockets that he had, and may do so between our look at them and our turn."""
    def failed(function, path, info):
        if not issubclass(info[0], FileNotFoundError):
            raise info[1]
    shutil.rmtree(folder, onerror=failed)


class Process:
    """A process, not its number: that may be another's by now."""

    def __init__(self, pid):
        self.pid = pid
        self.start = self.fields()[1][19]

    def fields(self):
        """Its name, and what follows that in /proc/PID/stat (proc(5)), from the state on."""
        with open(f'/proc/{self.pid}/stat') as file:
            head, _, rest = file.read().rpartition(') ')
        return head.partition(' (')[2], rest.split()

    def name(self):
        """What it is called now: exec changes that."""
        try:
            return self.fields()[0]
        except OSError:
            return ''

    def parent(self):
        return int(self.fields()[1][1])

    def alive(self):
        try:
            _, rest = self.fields()
        except OSError:
            return False
        return rest[19] == self.start and rest[0] not in 'ZX'

    def cpu(self):
        """Clock ticks it has run for."""
        _, rest = self.fields()
        return int(rest[11]) + int(rest[12])

    def holds(self):
        """What it has of what can leak: descriptors, mappings, and KiB in memory."""
        with open(f'/proc/{self.pid}/status') as file:
            rss = [int(line.split()[1]) for line in file if line.startswith('VmRSS:')]
        with open(f'/proc/{self.pid}/maps') as file:
            maps = len(file.readlines())
        return {'fds': len(os.listdir(f'/proc/{self.pid}/fd')), 'maps': maps, 'rss': sum(rss)}

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)

    def __repr__(self):
        return f'{self.name()}({self.pid})'


def processes():
    found = []
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                found.append(Process(int(entry)))
            except OSError:
                pass
    return found


class Family:
    """The processes that come from one start. They are known by a mark in their environment
    and by their parents, so that neither a clean environment nor a lost parent hides them."""

    def __init__(self, more=()):
        value = uuid.uuid4().hex
        self.mark = f'R3_TEST_MARK={value}'.encode()
        self.environment = dict(os.environ, **dict(more), R3_TEST_MARK=value)
        self.root = None  # the pid of the first of them
        self.known = {}

    def marked(self, pid):
        try:
            with open(f'/proc/{pid}/environ', 'rb') as file:
                return self.mark in file.read().split(b'\0')
        except OSError:
            return False

    def alive(self):
        """All that are alive; whoever was seen once stays known."""
        below = {self.root}
        everyone = processes()
        for _ in range(8):  # as deep as families get
            for process in everyone:
                try:
                    if process.parent() in below:
                        below.add(process.pid)
                except OSError:
                    pass
        for process in everyone:
            if process.pid in below or self.marked(process.pid):
                self.known.setdefault((process.pid, process.start), process)
        return [process for process in self.known.values() if process.alive()]
