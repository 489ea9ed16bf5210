/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Erratum: nbdkit 1.32 (Debian 12) aborts when a client hangs up while several of its
 * replies are under way. The first worker thread that cannot send closes the socket for
 * writing; the next one, which has waited for the connection's write lock meanwhile,
 * asserts that it is open ("sock >= 0" in raw_send_socket), and the server and every
 * other client go down with it.
 *
 * `ring3 run` preloads this into nbdkit. It turns that one assertion into what it means:
 * this worker has nobody left to answer, so it lets go of its locks and ends. nbdkit
 * joins it as it joins the others, and closes the connection. To know the locks, those
 * that a thread holds are noted down. Where the assertion never fails, nothing happens.
 */
#include <assert.h> /* declares __assert_fail */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PUBLIC   __attribute__((visibility("default")))
#define MAX_HELD 8

typedef int mutex_fn(pthread_mutex_t *mutex);

static __thread pthread_mutex_t *held[MAX_HELD];
static __thread unsigned nheld;

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

static int next_unlock(pthread_mutex_t *mutex)
{
	static mutex_fn *unlock;

	if (!unlock)
		unlock = (mutex_fn *)next("pthread_mutex_unlock");
	return unlock(mutex);
}

PUBLIC int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	static mutex_fn *lock;
	int rc;

	if (!lock)
		lock = (mutex_fn *)next("pthread_mutex_lock");
	rc = lock(mutex);
	if (rc == 0 && nheld < MAX_HELD)
		held[nheld++] = mutex;
	return rc;
}

PUBLIC int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	for (unsigned i = nheld; i > 0; i--) {
		if (held[i - 1] == mutex) {
			memmove(&held[i - 1], &held[i], (nheld - i) * sizeof(held[0]));
			nheld--;
			break;
		}
	}
	return next_unlock(mutex);
}

PUBLIC void __assert_fail(const char *what, const char *file, unsigned line, const char *function)
{
	void (*fail)(const char *, const char *, unsigned, const char *);

	if (strcmp(function, "raw_send_socket") == 0 && strcmp(what, "sock >= 0") == 0) {
		while (nheld > 0)
			next_unlock(held[--nheld]);
		pthread_exit(NULL);
	}
	*(void **)&fail = next("__assert_fail");
	fail(what, file, line, function);
	abort();
}

/* For nbdkit alone, not for what it starts: take the last word, which is ours, off the
 * list, and close the descriptor that it names. */
__attribute__((constructor)) static void leave_environment(void)
{
	static const char by_fd[] = "/proc/self/fd/";
	char *list = getenv("LD_PRELOAD"), *space, *word;

	if (!list)
		return;
	space = strrchr(list, ' ');
	word = space ? space + 1 : list;
	if (strncmp(word, by_fd, sizeof(by_fd) - 1) == 0)
		close(atoi(word + sizeof(by_fd) - 1));
	if (space)
		*space = 0;
	else
		unsetenv("LD_PRELOAD");
}
