/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "file:PATH[,lba=512|4096][,readonly]": a regular file or a block device node as a
 * block device, by plain system calls. The reference that drivers are compared with.
 */
#include "class/scheme.h"
#include "class/sync.h"

#include <ring3/log.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_LEN    (UINT64_C(4) << 20)
#define MAX_EXTENT (UINT64_C(64) << 20) /* of zeroes and discards: zeroes may be written */
#define BATCH      64                   /* pieces per system call */

struct file {
	struct r3_sync_block base;
	int fd;
};

/* Zeroes to write where the file system cannot make them. */
static const unsigned char zeroes[65536];

static void file_close(struct r3_sync_block *block)
{
	struct file *f = (struct file *)block;

	close(f->fd);
	free(f);
}

/** One system call over the vector. Returns what it moved, or -errno. */
static ssize_t move(struct file *f, const struct r3_blk_req *req, const struct iovec *iov, int n,
		    uint64_t off)
{
	bool fua = req->op != R3_BLK_READ && (req->flags & R3_BLK_FUA);
	ssize_t moved;

	do {
		if (req->op == R3_BLK_READ)
			moved = preadv(f->fd, iov, n, (off_t)off);
		else
			moved = pwritev2(f->fd, iov, n, (off_t)off, fua ? RWF_DSYNC : 0);
	} while (moved < 0 && errno == EINTR);
	/* Where the system call is older than its flags, a write and a flush do. */
	if (moved < 0 && errno == EOPNOTSUPP && fua) {
		moved = pwritev(f->fd, iov, n, (off_t)off);
		if (moved >= 0 && fdatasync(f->fd) < 0)
			return -errno;
	}
	if (moved < 0)
		return -errno;
	/* Nothing moved: the file has become shorter behind our back. */
	return moved ? moved : -EIO;
}

static int transfer(struct file *f, const struct r3_blk_req *req)
{
	struct iovec iov[BATCH];
	uint64_t done = 0;
	unsigned piece = 0; /* the first one not finished, */
	size_t skip = 0;    /* and what of it is done */

	while (done < req->len) {
		int n = 0;
		for (unsigned i = piece; i < req->nsg && n < BATCH; i++, n++)
			iov[n] = (struct iovec){req->sg[i].addr, req->sg[i].len};
		iov[0].iov_base = (unsigned char *)iov[0].iov_base + skip;
		iov[0].iov_len -= skip;

		ssize_t moved = move(f, req, iov, n, req->off + done);
		if (moved < 0)
			return (int)moved;
		done += (size_t)moved;
		skip += (size_t)moved;
		while (piece < req->nsg && skip >= req->sg[piece].len)
			skip -= req->sg[piece++].len;
	}
	return 0;
}

static int write_zeroes(struct file *f, const struct r3_blk_req *req)
{
	struct r3_sg sg;
	struct r3_blk_req part = *req;

	part.op = R3_BLK_WRITE;
	part.nsg = 1;
	part.sg = &sg;
	for (uint64_t done = 0; done < req->len; done += part.len) {
		part.len = req->len - done < sizeof(zeroes) ? req->len - done : sizeof(zeroes);
		part.off = req->off + done;
		sg = (struct r3_sg){(void *)(uintptr_t)zeroes, (size_t)part.len};
		int rc = transfer(f, &part);
		if (rc)
			return rc;
	}
	return 0;
}

static int extent(struct file *f, int mode, const struct r3_blk_req *req)
{
	int rc;

	do
		rc = fallocate(f->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)req->off, (off_t)req->len);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static int flush(struct file *f)
{
	return fdatasync(f->fd) < 0 ? -errno : 0;
}

static int zero(struct file *f, const struct r3_blk_req *req)
{
	/* A hole reads as zeroes as well. */
	int rc = -EOPNOTSUPP;

	if (req->flags & R3_BLK_MAY_UNMAP)
		rc = extent(f, FALLOC_FL_PUNCH_HOLE, req);
	if (rc == -EOPNOTSUPP)
		rc = extent(f, FALLOC_FL_ZERO_RANGE, req);
	if (rc == -EOPNOTSUPP)
		return write_zeroes(f, req);
	return rc || !(req->flags & R3_BLK_FUA) ? rc : flush(f);
}

static int file_run(struct r3_sync_block *block, const struct r3_blk_req *req)
{
	struct file *f = (struct file *)block;
	int rc;

	switch (req->op) {
	case R3_BLK_READ:
	case R3_BLK_WRITE:
		return transfer(f, req);
	case R3_BLK_FLUSH:
		return flush(f);
	case R3_BLK_WRITE_ZEROES:
		return zero(f, req);
	case R3_BLK_DISCARD:
		rc = extent(f, FALLOC_FL_PUNCH_HOLE, req);
		return rc == -EOPNOTSUPP ? 0 : rc; /* it is a hint */
	default:
		return -EOPNOTSUPP;
	}
}

/** Open @path; *fd is -1 after an error. */
static int open_path(const char *path, bool read_only, int *fd)
{
	/* Not to hang on a FIFO before it can be refused. */
	const int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

	*fd = open(path, flags | (read_only ? O_RDONLY : O_RDWR));
	if (*fd >= 0)
		return 0;
	int err = errno;
	if (err == EISDIR)
		return r3_error_set(EINVAL, "file: %s is a directory: name a file in it", path);
	if (!read_only && (err == EACCES || err == EPERM || err == EROFS)) {
		*fd = open(path, flags | O_RDONLY);
		if (*fd >= 0) {
			close(*fd);
			*fd = -1;
			return r3_error_set(EROFS,
					    "file: %s can only be read: add \"readonly\" to the "
					    "address, or make it writable",
					    path);
		}
	}
	return r3_error_set(err, "file: cannot open %s: %s", path, strerror(err));
}

/** What the file is, into the limits. */
static int measure(struct file *f, const char *path, uint32_t lba)
{
	struct r3_block_limits *limits = &f->base.base.limits;
	uint64_t size;
	uint32_t granule;
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return r3_error_set(errno, "file: %s: %s", path, strerror(errno));
	if (S_ISREG(st.st_mode)) {
		size = (uint64_t)st.st_size;
		granule = (uint32_t)st.st_blksize;
	} else if (S_ISBLK(st.st_mode)) {
		if (ioctl(f->fd, BLKGETSIZE64, &size) < 0 || ioctl(f->fd, BLKPBSZGET, &granule) < 0)
			return r3_error_set(errno, "file: %s: no size: %s", path, strerror(errno));
	} else {
		return r3_error_set(EINVAL, "file: %s is neither a file nor a block device", path);
	}

	limits->size = size & ~(uint64_t)(lba - 1);
	if (!limits->size || limits->size > INT64_MAX)
		return r3_error_set(EINVAL, "file: %s has %llu bytes, no block of %u: enlarge it",
				    path, (unsigned long long)size, lba);
	if (limits->size != size)
		r3_log(R3_LOG_WARN, "file: %s: the last %llu of %llu bytes are no block: left out",
		       path, (unsigned long long)(size - limits->size), (unsigned long long)size);
	limits->block_size = lba;
	limits->physical_block_size = granule < lba || (granule & (granule - 1)) ? lba : granule;
	return 0;
}

/** Whether holes can be punched; asked about bytes that no file has. */
static bool has_holes(int fd)
{
	const off_t beyond = (off_t)1 << 62;

	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, beyond, 4096) == 0 ||
	       errno != EOPNOTSUPP;
}

static int file_open(const struct r3_params *params, const struct r3_block_opts *opts,
		     struct r3_block **out)
{
	static const char *const known[] = {"lba", "readonly", NULL};
	const char *path = params->head;
	bool read_only = opts->read_only;
	uint32_t lba;
	int rc;

	rc = r3_params_check(params, "file", known);
	if (rc)
		return rc;
	rc = r3_sync_lba(params, &lba);
	if (rc)
		return rc;
	rc = r3_params_flag(params, "readonly", &read_only);
	if (rc)
		return rc;
	read_only |= opts->read_only;
	if (!*path)
		return r3_error_set(EINVAL, "file: which one? Say file:PATH");

	struct file *f = calloc(1, sizeof(*f));
	if (!f)
		return r3_error_set(ENOMEM, "file: no memory");
	rc = open_path(path, read_only, &f->fd);
	if (rc)
		goto free;
	rc = measure(f, path, lba);
	if (rc)
		goto close;

	struct r3_block *block = &f->base.base;
	struct r3_block_limits *limits = &block->limits;
	r3_sync_init(&f->base, opts);
	f->base.run = file_run;
	f->base.close = file_close;
	snprintf(block->name, sizeof(block->name), "file:%s", path);
	limits->max_len = MAX_LEN;
	limits->max_zeroes_len = MAX_EXTENT;
	limits->features = R3_BLOCK_VOLATILE_CACHE | R3_BLOCK_FUA | R3_BLOCK_WRITE_ZEROES;
	if (read_only)
		limits->features |= R3_BLOCK_READ_ONLY;
	if (!read_only && has_holes(f->fd)) {
		limits->features |= R3_BLOCK_DISCARD;
		limits->max_discard_len = MAX_EXTENT;
	}
	*out = block;
	return 0;
close:
	close(f->fd);
free:
	free(f);
	return rc;
}

const struct r3_block_scheme r3_block_file = {
	.name = "file",
	.summary = "file:PATH[,lba=512|4096][,readonly]: a file or block device",
	.open = file_open,
};
