/* SPDX-License-Identifier: BSD-2-Clause */
/* See printer.h. The thread has a text in a memfd and nothing of the device, so nobody waits
 * for it who does not want to. */
#include "printer.h"

#include <errno.h>
#include <pthread.h>
#include <ring3/error.h>
#include <ring3/trace.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static pthread_t printer; /* while `printing` */
static bool printing;

static bool write_all(const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(STDERR_FILENO, text, len);

		if (n < 0 && errno != EINTR)
			return false;
		text += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

static void *print(void *arg)
{
	int text = (int)(intptr_t)arg;
	char buf[4096];
	ssize_t n;

	while ((n = read(text, buf, sizeof(buf))) > 0 && write_all(buf, (size_t)n))
		;
	close(text);
	return NULL;
}

static int start_thread(int text)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all); /* signals are for nbdkit's own threads */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&printer, NULL, print, (void *)(intptr_t)text);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc ? r3_error_set(rc, "no thread to print a trace: %s", strerror(rc)) : 0;
}

int printer_start(struct r3_device *dev)
{
	int text, rc;

	if (printing && pthread_tryjoin_np(printer, NULL))
		return r3_error_set(EBUSY, "the trace asked for before is still being read");
	printing = false;
	text = memfd_create("trace", MFD_CLOEXEC);
	if (text < 0)
		return r3_error_set(errno, "no memory for a trace: %s", strerror(errno));
	rc = r3_trace_dump(dev, text, R3_TRACE_TEXT);
	if (rc == 0 && lseek(text, 0, SEEK_SET) < 0)
		rc = r3_error_set(errno, "reading a trace: %s", strerror(errno));
	if (rc == 0)
		rc = start_thread(text);
	if (rc < 0)
		close(text);
	printing = rc == 0;
	return rc;
}

void printer_end(unsigned timeout_ms)
{
	struct timespec until;

	if (!printing)
		return;
	clock_gettime(CLOCK_REALTIME, &until); /* it is what pthread_timedjoin_np() goes by */
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	if (pthread_timedjoin_np(printer, NULL, &until))
		pthread_detach(printer);
	printing = false;
}
