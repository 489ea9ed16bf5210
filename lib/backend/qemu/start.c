/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starting a QEMU of our own. All that it needs are descriptors it inherits: nothing is on
 * disk or has a name, so nothing is left behind, and nobody else can join in.
 */
#include "backend/qemu/start.h"

#include "backend/qemu/command.h"
#include "backend/qemu/qemu.h"
#include "backend/qemu/rom.h"
#include "util/fd.h"

#include <ring3/error.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int cannot(const char *what)
{
	int err = errno;

	return r3_error_set(err, "qemu: cannot make %s: %s", what, strerror(err));
}

static int make_pair(int *ours, int *theirs)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return cannot("a socket");
	*ours = pair[0];
	*theirs = pair[1];
	return r3_fd_above_stdio(theirs) < 0 ? cannot("a socket") : 0;
}

/* ---- storage ---- */

static int make_sparse(uint64_t size, int *out)
{
	*out = memfd_create("ring3-disk", MFD_CLOEXEC);
	if (*out < 0 || ftruncate(*out, (off_t)size) < 0 || r3_fd_above_stdio(out) < 0)
		return cannot("a disk");
	return 0;
}

/* Open the image here, so that what is wrong with it is said plainly. */
static int open_image(const struct r3_qemu_options *o, int *out, bool *block_device)
{
	struct stat st;

	/* a FIFO without a writer must not hold us */
	*out = open(o->drive, (o->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	if (*out < 0) {
		int err = errno;
		if (!o->readonly && (err == EACCES || err == EPERM || err == EROFS) &&
		    access(o->drive, R_OK) == 0)
			return r3_error_set(err,
					    "%s can only be read: add \"readonly\" to the "
					    "address, or make it writable",
					    o->drive);
		return r3_error_set(err, "cannot open the image %s: %s", o->drive, strerror(err));
	}
	if (fstat(*out, &st) < 0 || r3_fd_above_stdio(out) < 0)
		return cannot("a disk");
	*block_device = S_ISBLK(st.st_mode);
	if (!S_ISREG(st.st_mode) && !*block_device)
		return r3_error_set(EINVAL, "%s is no image: neither a file nor a block device",
				    o->drive);
	if (S_ISREG(st.st_mode) && st.st_size < 512)
		return r3_error_set(
			EINVAL, "the image %s is empty: give it a size with truncate(1)", o->drive);
	return 0;
}

static int open_storage(const struct r3_qemu_options *o, struct r3_qemu_files *files)
{
	int rc = 0;

	if (o->storage == R3_QEMU_NO_STORAGE)
		return 0;
	for (unsigned n = o->namespaces ? o->namespaces : 1; files->ndisks < n && rc == 0;) {
		int *fd = &files->disk[files->ndisks++];

		*fd = -1;
		if (o->storage == R3_QEMU_STORAGE_SPARSE)
			rc = make_sparse(o->size, fd);
		else if (o->storage == R3_QEMU_STORAGE_FILE)
			rc = open_image(o, fd, &files->block_device);
	}
	if (rc == 0 && o->blkdebug && access(o->blkdebug, R_OK) < 0)
		rc = r3_error_set(errno, "cannot open %s: %s", o->blkdebug, strerror(errno));
	return rc;
}

static void close_files(struct r3_qemu_files *files)
{
	r3_fd_close(&files->rom);
	r3_fd_close(&files->qtest);
	r3_fd_close(&files->qmp);
	r3_fd_close(&files->doorbell);
	for (unsigned i = 0; i < files->ndisks; i++)
		r3_fd_close(&files->disk[i]);
}

/* ---- the process ---- */

static int spawn(struct r3_qemu *q, const struct r3_qemu_options *o, const struct r3_qemu_files *f)
{
	const char *program = getenv("R3_QEMU");
	struct r3_qemu_command command;
	int fds[5 + R3_QEMU_NAMESPACES] = {f->rom, f->ram, f->qtest, f->qmp, f->doorbell};
	unsigned nfds = 5;
	char path[4096];
	int rc;

	for (unsigned i = 0; i < f->ndisks; i++)
		if (f->disk[i] >= 0)
			fds[nfds++] = f->disk[i];
	rc = r3_qemu_find_program(program && *program ? program : "qemu-system-x86_64", path,
				  sizeof(path));
	if (rc < 0)
		return rc;
	rc = r3_qemu_command_make(&command, path, o, f);
	if (rc == 0)
		rc = r3_qemu_process_start(&q->process, path, command.argv, fds, nfds, o->uid,
					   o->gid);
	r3_qemu_command_free(&command);
	return rc;
}

/* It ended before it spoke: what it wrote to standard error is why. */
static int refused(struct r3_qemu *q, const struct r3_qemu_options *o, int rc)
{
	const char *model = o->model;
	char says[1024], *why;

	if (rc != -ENODEV)
		return r3_error_prefix(rc, "qemu:%s: starting QEMU", model);
	r3_qemu_process_says(&q->process, says, sizeof(says));
	why = strstr(says, ": ");
	why = why ? why + 2 : says;
	if (strstr(says, "is not a valid device model name"))
		return r3_error_set(ENODEV,
				    "qemu:%s: QEMU has no such device; "
				    "\"qemu-system-x86_64 -device help\" lists those it has",
				    model);
	if (strstr(says, "Failed to get"))
		return r3_error_set(EBUSY, "qemu:%s: another program uses the image %s", model,
				    o->drive ? o->drive : "");
	if (!*says)
		return r3_error_set(ENODEV, "qemu:%s: QEMU ended without a word", model);
	return r3_error_set(EINVAL, "qemu:%s: QEMU refuses: %s", model, why);
}

int r3_qemu_start(struct r3_qemu *q, const struct r3_qemu_options *o)
{
	struct r3_qemu_files files = {-1, -1, -1, -1, -1, .ndisks = 0};
	int qtest = -1, qmp = -1, bell = -1;
	int rc = r3_mem_create("ring3-qemu", o->mem, 0, &q->ram);

	if (rc < 0)
		return rc;
	files.ram = r3_mem_fd(q->ram);
	rc = r3_qemu_rom_make(&files.rom);
	if (rc == 0)
		rc = make_pair(&qtest, &files.qtest);
	if (rc == 0)
		rc = make_pair(&qmp, &files.qmp);
	if (rc == 0)
		rc = make_pair(&bell, &files.doorbell);
	if (rc == 0) {
		rc = r3_qemu_doorbell_serve(&q->bell, bell);
		bell = -1;
	}
	if (rc == 0)
		rc = open_storage(o, &files);
	if (rc == 0)
		rc = spawn(q, o, &files);
	/* QEMU's ends are QEMU's alone now: its end is their end */
	close_files(&files);
	if (rc == 0) {
		r3_qemu_link_open(&q->link, qtest, R3_QEMU_TIMEOUT_MS);
		qtest = -1;
		rc = r3_qmp_open(qmp, R3_QEMU_TIMEOUT_MS, r3_qemu_qmp_event, q, &q->qmp);
		if (rc == 0)
			qmp = -1;
		else
			rc = refused(q, o, rc);
	}
	r3_fd_close(&qtest);
	r3_fd_close(&qmp);
	return rc;
}
