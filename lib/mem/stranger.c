/* SPDX-License-Identifier: BSD-2-Clause */
/* Whose memory is to be mapped here, and what it may do to us: see stranger.h. */
#include "mem/stranger.h"

#include <ring3/error.h>
#include <ring3/mem.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

int r3_mem_inspect(int fd, struct r3_mem_file *out)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct statfs fs;
	struct stat st;

	if (seals < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || fstatfs(fd, &fs) ||
	    (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC))
		return r3_error_set(EINVAL, "memory must be a memfd or a file of hugetlbfs");
	out->sealed = seals & F_SEAL_SHRINK;
	out->page =
		(uint64_t)(fs.f_type == HUGETLBFS_MAGIC ? st.st_blksize : sysconf(_SC_PAGESIZE));
	return 0;
}

unsigned r3_mem_seal(int fd, const struct r3_mem_file *file)
{
	return file->sealed || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 ? 0 : R3_MEM_UNSEALED;
}
