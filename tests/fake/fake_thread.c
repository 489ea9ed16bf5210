/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake device in a thread of its own, as hardware is: it looks at its doorbells without
 * being asked, and beside whatever the program does. When nobody rings for a while it looks
 * less often, for the processors have other things to do. */
#include "fake/fake_device.h"

#include <linux/pci_regs.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#define EAGER 2000u  /* looks in vain before it rests in between */
#define REST  50000L /* ns */

static bool is_master(const struct fake_device *fake)
{
	return fake->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

bool fake_device_heed(struct fake_device *fake)
{
	bool may;

	if (!fake->threaded || !fake->rung(fake))
		return false;
	/* What is no master of the bus reaches no memory (PCI 3.0, 6.2.2): it keeps what was
	 * asked for until a reset, or until it is one. */
	pthread_mutex_lock(&fake->lock);
	may = is_master(fake);
	if (may)
		fake->turn(fake);
	pthread_mutex_unlock(&fake->lock);
	return may;
}

static void *run(void *arg)
{
	const struct timespec rest = {.tv_nsec = REST};
	struct fake_device *fake = arg;

	for (unsigned idle = 0; !__atomic_load_n(&fake->ends, __ATOMIC_RELAXED);) {
		idle = fake_device_heed(fake) ? 0 : idle + 1;
		if (idle > EAGER)
			nanosleep(&rest, NULL);
		else if (idle % 16 == 15)
			sched_yield();
	}
	return NULL;
}

int fake_device_start(struct fake_device *fake, bool (*rung)(const struct fake_device *fake),
		      void (*turn)(struct fake_device *fake))
{
	sigset_t all, before;
	int rc;

	fake->rung = rung;
	fake->turn = turn;
	fake->threaded = true;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* they are the program's */
	rc = pthread_create(&fake->thread, NULL, run, fake);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		fake->threaded = false;
	return -rc;
}

void fake_device_stop(struct fake_device *fake)
{
	if (!fake->threaded)
		return;
	__atomic_store_n(&fake->ends, true, __ATOMIC_RELAXED);
	pthread_join(fake->thread, NULL);
	fake->threaded = false;
}
