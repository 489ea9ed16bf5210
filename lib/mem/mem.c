/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that can be given to devices and processes: sealed, so that nobody who holds the
 * fd can take pages away under a mapping. */
#include "mem/sigbus.h"

#include <ring3/error.h>
#include <ring3/mem.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define HUGE_PAGE (UINT64_C(2) << 20)

struct r3_mem {
	unsigned refs;
	int fd;
	uint64_t fd_off;
	void *addr;
	uint64_t size;
	bool watched; /* its pages may be taken away: sigbus.h */
};

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A file of huge pages can be mapped, and unmapped, by those only. */
static uint64_t file_page_size(int fd, const struct stat *st)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)st->st_blksize
								     : page_size();
}

static uint64_t round_up(uint64_t size, uint64_t granule)
{
	return (size + granule - 1) / granule * granule;
}

/* A new file of *size bytes, rounded up to its pages, or -errno. */
static int create_file(const char *name, unsigned memfd_flags, uint64_t granule, uint64_t *size)
{
	uint64_t rounded = round_up(*size, granule);
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | memfd_flags);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)rounded) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		int err = errno;

		close(fd);
		return -err;
	}
	*size = rounded;
	return fd;
}

/* Takes over the fd, also when it fails. */
static int map_file(int fd, uint64_t off, uint64_t size, struct r3_mem **out)
{
	struct r3_mem *mem = malloc(sizeof(*mem));
	int rc = -ENOMEM;

	if (!mem)
		goto err_fd;
	*mem = (struct r3_mem){.refs = 1, .fd = fd, .fd_off = off, .size = size};
	mem->addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)off);
	if (mem->addr == MAP_FAILED) {
		rc = -errno;
		goto err_mem;
	}
	*out = mem;
	return 0;

err_mem:
	free(mem);
err_fd:
	close(fd);
	return rc;
}

int r3_mem_create(const char *name, uint64_t size, unsigned flags, struct r3_mem **out)
{
	if (flags & ~(unsigned)R3_MEM_HUGE)
		return r3_error_set(EINVAL, "memory \"%s\": unknown flags %#x", name, flags);
	if (!size || size > SIZE_MAX / 2)
		return r3_error_set(EINVAL, "memory \"%s\": no size for memory: %ju bytes", name,
				    (uintmax_t)size);

	if (flags & R3_MEM_HUGE) {
		/* huge pages are reserved by the mmap: it fails where too few are free */
		uint64_t huge = size;
		int fd = create_file(name, MFD_HUGETLB | MFD_HUGE_2MB, HUGE_PAGE, &huge);

		if (fd >= 0 && map_file(fd, 0, huge, out) == 0)
			return 0;
	}

	int fd = create_file(name, 0, page_size(), &size);
	int rc = fd < 0 ? fd : map_file(fd, 0, size, out);

	if (rc < 0) {
		errno = -rc;
		return r3_error_set(-rc, "memory \"%s\": cannot create %ju bytes: %m", name,
				    (uintmax_t)size);
	}
	return 0;
}

int r3_mem_import(int fd, uint64_t off, uint64_t len, unsigned flags, struct r3_mem **out)
{
	struct stat st;
	uint64_t page;

	if (flags & ~(unsigned)R3_MEM_UNSEALED)
		return r3_error_set(EINVAL, "fd %d: unknown flags %#x", fd, flags);
	if (fstat(fd, &st))
		return r3_error_set(errno, "fd %d: %m", fd);
	page = file_page_size(fd, &st);
	if (off % page || len % page || !len)
		return r3_error_set(EINVAL,
				    "fd %d: offset %ju and length %ju are not whole pages of %ju",
				    fd, (uintmax_t)off, (uintmax_t)len, (uintmax_t)page);
	if (len > (uint64_t)st.st_size || off > (uint64_t)st.st_size - len)
		return r3_error_set(EINVAL,
				    "fd %d: %ju bytes at %ju are beyond the file's end at %ju", fd,
				    (uintmax_t)len, (uintmax_t)off, (uintmax_t)st.st_size);

	int seals = fcntl(fd, F_GET_SEALS);
	if ((seals < 0 || !(seals & F_SEAL_SHRINK)) && !(flags & R3_MEM_UNSEALED))
		return r3_error_set(
			EPERM, "fd %d: its owner can shrink it; seal it with F_SEAL_SHRINK", fd);

	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return r3_error_set(errno, "fd %d: cannot duplicate it: %m", fd);

	int rc = map_file(own, off, len, out);
	if (rc < 0) {
		errno = -rc;
		return r3_error_set(-rc, "fd %d: cannot map it: %m", fd);
	}
	if (flags & R3_MEM_UNSEALED && r3_sigbus_enabled()) {
		rc = r3_sigbus_watch((*out)->addr, len, page);
		if (rc) {
			r3_mem_unref(*out);
			return r3_error_prefix(rc, "fd %d", fd);
		}
		(*out)->watched = true;
	}
	return 0;
}

struct r3_mem *r3_mem_ref(struct r3_mem *mem)
{
	__atomic_add_fetch(&mem->refs, 1, __ATOMIC_RELAXED);
	return mem;
}

void r3_mem_unref(struct r3_mem *mem)
{
	if (!mem || __atomic_sub_fetch(&mem->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (mem->watched)
		r3_sigbus_unwatch(mem->addr);
	munmap(mem->addr, mem->size);
	close(mem->fd);
	free(mem);
}

void *r3_mem_addr(const struct r3_mem *mem)
{
	return mem->addr;
}

uint64_t r3_mem_size(const struct r3_mem *mem)
{
	return mem->size;
}

int r3_mem_fd(const struct r3_mem *mem)
{
	return mem->fd;
}

uint64_t r3_mem_fd_offset(const struct r3_mem *mem)
{
	return mem->fd_off;
}
