/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sandbox of a process: once entered there is no way back, and what the process can
 * still do is little enough to be written on a page.
 *
 * A process opens what it needs first, then enters, then touches what it does not trust.
 * What this kernel, or our privilege, cannot give is left out and told: the report says for
 * each part whether it stands, and if not, why. It is for the owner to say whether that is
 * good enough (struct sandbox, require).
 *
 * Whoever makes a system call that its profile does not list dies of SIGSYS, after a line
 * on standard error that names the call.
 */
#ifndef RING3_HOST_SANDBOX_H
#define RING3_HOST_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct json_object;

/** Which calls are left: host/sandbox/NAME.syscalls lists them, with the reason of each. */
enum sandbox_profile {
	SANDBOX_DRIVER, /* device driver: no open, socket, exec, ioctl; <= 30 calls */
	SANDBOX_BROKER, /* serves a device to one driver */
	SANDBOX_EXPORT, /* serves a block device to clients */
	SANDBOX_PROFILES
};

/** What a sandbox is made of; also the bits of struct sandbox, require. */
enum sandbox_part {
	SANDBOX_UID,        /* a uid of its own, without groups */
	SANDBOX_CAPS,       /* no capabilities, none that could come back */
	SANDBOX_PRIVS,      /* no_new_privs */
	SANDBOX_NAMESPACES, /* no network, no System V IPC, no mounts of others */
	SANDBOX_FILES,      /* Landlock: the files listed, nothing else */
	SANDBOX_SYSCALLS,   /* seccomp: the calls listed, nothing else */
	SANDBOX_LIMITS,     /* resource limits */
	SANDBOX_MEMORY,     /* not dumpable: others of the same uid cannot look into it */
	SANDBOX_PARTS
};

#define SANDBOX_SAME_ID ((uid_t)-1)

struct sandbox {
	enum sandbox_profile profile;
	/** What to become; needs root. SANDBOX_SAME_ID: stay who we are. Any number will do,
	 *  an account is not needed. */
	uid_t uid;
	gid_t gid;
	/** Files, and folders with all that is below, NULL-ended; NULL: none. Whatever is open
	 *  already stays so. Reading is executing, too; writing is making and removing. Whoever
	 *  lists a file that does not exist gets -ENOENT. */
	const char *const *may_read;
	const char *const *may_write;
	uint32_t max_fds;   /* 0: 1024 */
	uint64_t max_file;  /* bytes that a file may grow to, a memfd too; 0: 64 MiB, room for a log
			     */
	uint64_t max_data;  /* bytes of private memory, RLIMIT_DATA; 0: as before */
	uint32_t max_procs; /* processes and threads that this one may start; 0: none */
	/** Keep the network namespace: for those who connect to or accept on TCP later. A
	 *  socket that is open already is not affected. */
	bool keep_net;
	/** Let the calls of loading.syscalls through as well, until sandbox_shut(). */
	bool loading;
	/** Let a debugger of the same uid in, and let a crash leave a core. */
	bool debug;
	/** Bits 1 << enum sandbox_part: fail when one of these cannot be had. */
	unsigned require;
};

enum sandbox_state {
	SANDBOX_MISSING, /* why says what stood against it */
	SANDBOX_PARTLY,  /* why says which part of it is missing */
	SANDBOX_FULL,
	SANDBOX_OFF, /* was not asked for; why says by whom */
};

struct sandbox_report {
	struct {
		enum sandbox_state state;
		char why[160]; /* "" where nothing is missing */
	} part[SANDBOX_PARTS];
};

/** Enter. The process has one thread. *report is filled in any case.
 *  Errors: EBUSY there are more threads; EPERM uid or gid were asked for without being root;
 *  EOPNOTSUPP a part that is required cannot be had; ENOENT a path does not exist. After an
 *  error the process is in no good state: it has to end. */
int sandbox_enter(const struct sandbox *box, struct sandbox_report *report);

/** The second step of one that is `loading`: no file can be opened, no memory be made
 *  executable from here on. *report is brought up to date. */
int sandbox_shut(const struct sandbox *box, struct sandbox_report *report);

const char *sandbox_part_name(enum sandbox_part part);        /* "capabilities" */
const char *sandbox_state_name(enum sandbox_state state);     /* "partly" */
const char *sandbox_profile_name(enum sandbox_profile which); /* "driver" */

/** The grade: FULL when all parts are, MISSING when there is not one, else PARTLY. What is
 *  OFF counts as missing, too: a grade says what stands, not what was wanted. */
enum sandbox_state sandbox_grade(const struct sandbox_report *report);

/** One line: "sandbox driver: partly; no landlock: ..." */
void sandbox_report_text(const struct sandbox *box, const struct sandbox_report *report, char *text,
			 size_t size);

/** {"profile":"driver","grade":"partly","full":["uid",...],"missing":[{"part":,"state":,"why":}]}.
 *  The caller's reference; NULL: no memory. */
struct json_object *sandbox_report_json(const struct sandbox *box,
					const struct sandbox_report *report);

/** The calls that a profile allows, in the order of its file, NULL-ended; for tests. */
const char *const *sandbox_syscalls(enum sandbox_profile profile);

#endif
