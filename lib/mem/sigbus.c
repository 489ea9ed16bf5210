/* SPDX-License-Identifier: BSD-2-Clause */
/* The handler of SIGBUS for memory that others can shrink: see sigbus.h. The only signal
 * handler of the library, and only a program that asks for it gets it. */
#include "mem/sigbus.h"

#include <ring3/error.h>
#include <ring3/mem.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define ENTRIES 64

/* seq is odd while the rest changes, so that a handler in another thread, to which the entry
 * means nothing, does not take half of an old range and half of a new one for its own. */
struct entry {
	unsigned seq;
	uintptr_t at;
	size_t len; /* 0: free */
	size_t page;
};

struct block {
	struct block *next; /* set once, never freed */
	struct entry entry[ENTRIES];
};

static struct block first;
static pthread_mutex_t change = PTHREAD_MUTEX_INITIALIZER; /* of writers, never the handler */
static struct sigaction before;
static bool enabled;

/* ---- the handler ---- */

static bool covers(const struct entry *entry, uintptr_t address, size_t *page)
{
	unsigned seq = __atomic_load_n(&entry->seq, __ATOMIC_ACQUIRE);
	uintptr_t at = __atomic_load_n(&entry->at, __ATOMIC_RELAXED);
	size_t len = __atomic_load_n(&entry->len, __ATOMIC_RELAXED);

	*page = __atomic_load_n(&entry->page, __ATOMIC_RELAXED);
	/* the loads above come before this one */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return !(seq & 1) && seq == __atomic_load_n(&entry->seq, __ATOMIC_RELAXED) &&
	       address - at < len;
}

static bool find(uintptr_t address, size_t *page)
{
	for (const struct block *b = &first; b; b = __atomic_load_n(&b->next, __ATOMIC_ACQUIRE))
		for (unsigned i = 0; i < ENTRIES; i++)
			if (covers(&b->entry[i], address, page))
				return true;
	return false;
}

/* Not ours: whoever was there before, or the default action, which needs the instruction to
 * fault again once this handler is gone. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(sig, info, context);
	} else if (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN) {
		const struct sigaction fall = {.sa_handler = SIG_DFL};

		sigaction(sig, &fall, NULL);
	} else {
		before.sa_handler(sig);
	}
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	uintptr_t address = (uintptr_t)info->si_addr;
	int err = errno;
	size_t page;

	/* si_code > 0: by the kernel, because of an access, not sent by somebody */
	if (info->si_code <= 0 || !find(address, &page) ||
	    mmap((void *)(address & ~(uintptr_t)(page - 1)), page, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		pass_on(sig, info, context);
	errno = err;
}

/* ---- the list ---- */

bool r3_sigbus_enabled(void)
{
	return __atomic_load_n(&enabled, __ATOMIC_ACQUIRE);
}

int r3_sigbus_enable(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	int rc = 0;

	pthread_mutex_lock(&change);
	if (!enabled) {
		sigemptyset(&action.sa_mask);
		/* `before` must be there when the first signal comes */
		if (sigaction(SIGBUS, NULL, &before) || sigaction(SIGBUS, &action, NULL))
			rc = r3_error_set(errno, "cannot catch SIGBUS: %m");
		else
			__atomic_store_n(&enabled, true, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&change);
	return rc;
}

static void set(struct entry *entry, uintptr_t at, size_t len, size_t page)
{
	__atomic_store_n(&entry->seq, entry->seq + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE); /* odd before the change is seen */
	__atomic_store_n(&entry->at, at, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->len, len, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->page, page, __ATOMIC_RELAXED);
	__atomic_store_n(&entry->seq, entry->seq + 1, __ATOMIC_RELEASE);
}

/* The entry of a range that begins at @at, or (@at 0) a free one. */
static struct entry *lookup(uintptr_t at, struct block **last)
{
	for (struct block *b = &first; b; b = b->next) {
		*last = b;
		for (unsigned i = 0; i < ENTRIES; i++)
			if (at ? b->entry[i].len && b->entry[i].at == at : !b->entry[i].len)
				return &b->entry[i];
	}
	return NULL;
}

int r3_sigbus_watch(void *at, size_t len, size_t page)
{
	struct block *last, *more;
	struct entry *entry;
	int rc = 0;

	pthread_mutex_lock(&change);
	entry = lookup(0, &last);
	if (!entry) {
		more = calloc(1, sizeof(*more));
		if (more) {
			__atomic_store_n(&last->next, more, __ATOMIC_RELEASE);
			entry = &more->entry[0];
		}
	}
	if (entry)
		set(entry, (uintptr_t)at, len, page);
	else
		rc = r3_error_set(ENOMEM, "out of memory");
	pthread_mutex_unlock(&change);
	return rc;
}

void r3_sigbus_unwatch(const void *at)
{
	struct block *last;
	struct entry *entry;

	pthread_mutex_lock(&change);
	entry = lookup((uintptr_t)at, &last);
	if (entry)
		set(entry, 0, 0, 0);
	pthread_mutex_unlock(&change);
}
