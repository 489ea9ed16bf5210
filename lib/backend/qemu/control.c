/* SPDX-License-Identifier: BSD-2-Clause */
/* What a test does to the QEMU behind a device: see control.h. */
#include "backend/qemu/control.h"

#include "backend/qemu/qemu.h"

#include <ring3/error.h>

#include <errno.h>
#include <string.h>

pid_t r3_qemu_pid(struct r3_device *dev)
{
	struct r3_qemu *q = r3_qemu_of(dev);

	return q ? q->process.pid : 0;
}

static int controlled(struct r3_device *dev, struct r3_qemu **out)
{
	*out = r3_qemu_of(dev);
	if (!*out)
		return r3_error_set(EINVAL, "%s: is no device of QEMU's", dev->info.name);
	if (!(*out)->qmp)
		return r3_error_set(EOPNOTSUPP,
				    "%s: needs QEMU's control socket: give qmp=", dev->info.name);
	return 0;
}

static int copy_text(const char *text, char **out)
{
	*out = text ? strdup(text) : NULL;
	return *out ? 0 : r3_error_set(ENOMEM, "out of memory");
}

int r3_qemu_execute(struct r3_device *dev, const char *command, const char *arguments, char **reply)
{
	struct json_object *object = NULL, *result = NULL;
	struct r3_qemu *q;
	int rc = controlled(dev, &q);

	if (rc < 0)
		return rc;
	if (arguments && !(object = json_tokener_parse(arguments)))
		return r3_error_set(EINVAL, "these arguments are no JSON: %s", arguments);
	rc = r3_qmp_execute(q->qmp, command, object, &result);
	if (rc == 0 && reply)
		rc = copy_text(json_object_to_json_string(result), reply);
	json_object_put(result);
	return rc;
}

int r3_qemu_hmp(struct r3_device *dev, const char *line, char **says)
{
	struct json_object *object, *result = NULL;
	struct r3_qemu *q;
	int rc = controlled(dev, &q);

	if (rc < 0)
		return rc;
	object = json_object_new_object();
	json_object_object_add(object, "command-line", json_object_new_string(line));
	rc = r3_qmp_execute(q->qmp, "human-monitor-command", object, &result);
	if (rc == 0 && says)
		rc = copy_text(json_object_get_string(result), says);
	json_object_put(result);
	return rc;
}

int r3_qemu_surprise_remove(struct r3_device *dev)
{
	struct r3_qemu *q = r3_qemu_of(dev);

	if (!q)
		return r3_error_set(EINVAL, "%s: is no device of QEMU's", dev->info.name);
	return r3_qemu_slot_off(q);
}
