/* SPDX-License-Identifier: BSD-2-Clause */
/* What our programs exit with. A command run by `ring3 run` has its own. */
#ifndef RING3_HOST_EXIT_CODE_H
#define RING3_HOST_EXIT_CODE_H

#include <errno.h>

enum exit_code {
	EXIT_OK,
	EXIT_FAILED, /* busy too */
	EXIT_USAGE,  /* the arguments are wrong whatever the machine is like */
	EXIT_ABSENT, /* no such device, scheme or facility */
	EXIT_NOT_PERMITTED,
};

static inline enum exit_code exit_code_of(int err)
{
	switch (err) {
	case EINVAL:
	case ERANGE:
	case ENAMETOOLONG:
		return EXIT_USAGE;
	case ENODEV:
	case ENXIO:
	case ENOENT:
	case EOPNOTSUPP:
	case ENOSYS:
		return EXIT_ABSENT;
	case EPERM:
	case EACCES:
	case EROFS:
		return EXIT_NOT_PERMITTED;
	default:
		return EXIT_FAILED;
	}
}

#endif
