/* SPDX-License-Identifier: BSD-2-Clause */
/* The JSON of VFIO_USER_VERSION: see vfio_user_caps.h. */
#include "wire/vfio_user_caps.h"

#include <ring3/error.h>

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The capabilities are objects in objects; nothing needs more. */
#define DEPTH_MAX 8

void r3_vfio_user_caps_default(struct r3_vfio_user_caps *out)
{
	*out = (struct r3_vfio_user_caps){
		.max_msg_fds = VFIO_USER_DEFAULT_MAX_MSG_FDS,
		.max_data_xfer_size = VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE,
		.max_dma_maps = VFIO_USER_DEFAULT_MAX_DMA_MAPS,
		.pgsizes = VFIO_USER_DEFAULT_PGSIZES,
		.twin_fd = -1,
	};
}

static int malformed(const char *name, const char *must)
{
	return r3_error_set(EINVAL, "the peer's capability \"%s\" must be %s", name, must);
}

/* A member, where there is one. */
static bool member(struct json_object *object, const char *name, struct json_object **out)
{
	return json_object_object_get_ex(object, name, out);
}

static bool get_u64(struct json_object *value, uint64_t *out)
{
	if (!json_object_is_type(value, json_type_int))
		return false;
	/* What is negative reads as 0 unsigned, what does not fit as the largest signed. */
	if (json_object_get_int64(value) < 0)
		return false;
	*out = json_object_get_uint64(value);
	return true;
}

/* A number that has a default; what is larger than 32 bits can tell is as much as can be told. */
static int number(struct json_object *caps, const char *name, uint32_t least, uint32_t *out)
{
	struct json_object *value;
	uint64_t n;

	if (!member(caps, name, &value))
		return 0;
	if (!get_u64(value, &n) || n < least)
		return r3_error_set(EINVAL,
				    "the peer's capability \"%s\" must be a number of %u or more",
				    name, least);
	*out = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
	return 0;
}

static int boolean(struct json_object *object, const char *name, bool *out)
{
	struct json_object *value;

	if (!member(object, name, &value))
		return 0;
	if (!json_object_is_type(value, json_type_boolean))
		return malformed(name, "true or false");
	*out = json_object_get_boolean(value);
	return 0;
}

static int pgsizes(struct json_object *caps, uint64_t *out)
{
	struct json_object *value;

	if (!member(caps, "pgsizes", &value))
		return 0;
	if (!get_u64(value, out) || !*out)
		return malformed("pgsizes", "page sizes or'ed together");
	return 0;
}

static int twin_socket(struct json_object *caps, struct r3_vfio_user_caps *out)
{
	struct json_object *twin, *index;
	uint64_t n;
	int rc;

	if (!member(caps, "twin_socket", &twin))
		return 0;
	if (!json_object_is_type(twin, json_type_object))
		return malformed("twin_socket", "an object");
	rc = boolean(twin, "supported", &out->twin_socket);
	if (rc || !member(twin, "fd_index", &index))
		return rc;
	if (!get_u64(index, &n) || n >= R3_VFIO_USER_FDS)
		return malformed("fd_index", "the index of a descriptor");
	out->twin_fd = (int)n;
	return 0;
}

static int windows(struct json_object *ring3, struct r3_vfio_user_caps *out)
{
	struct json_object *list;
	size_t n;

	if (!member(ring3, "iova", &list))
		return 0;
	if (!json_object_is_type(list, json_type_array))
		return malformed("iova", "an array");
	n = json_object_array_length(list);
	if (n > R3_VFIO_USER_WINDOWS)
		return malformed("iova", "of fewer windows");
	out->no_dma = n == 0;
	for (size_t i = 0; i < n; i++) {
		struct json_object *pair = json_object_array_get_idx(list, i);
		uint64_t first, last;

		if (!json_object_is_type(pair, json_type_array) ||
		    json_object_array_length(pair) != 2 ||
		    !get_u64(json_object_array_get_idx(pair, 0), &first) ||
		    !get_u64(json_object_array_get_idx(pair, 1), &last) || first > last)
			return malformed("iova", "made of pairs, first and last address");
		out->window[out->nwindows].first = first;
		out->window[out->nwindows++].last = last;
	}
	return 0;
}

static int ring3(struct json_object *caps, struct r3_vfio_user_caps *out)
{
	struct json_object *own;

	if (!member(caps, "ring3", &own))
		return 0;
	if (!json_object_is_type(own, json_type_object))
		return malformed("ring3", "an object");
	out->ring3 = true;
	return windows(own, out);
}

static int decode(struct json_object *data, struct r3_vfio_user_caps *out)
{
	struct json_object *caps;
	int rc;

	if (!json_object_is_type(data, json_type_object))
		return r3_error_set(EINVAL, "the peer's version data is no JSON object");
	if (!member(data, "capabilities", &caps))
		return 0;
	if (!json_object_is_type(caps, json_type_object))
		return malformed("capabilities", "an object");
	rc = number(caps, "max_msg_fds", 1, &out->max_msg_fds);
	if (!rc)
		rc = number(caps, "max_data_xfer_size", 8, &out->max_data_xfer_size);
	if (!rc)
		rc = number(caps, "max_dma_maps", 1, &out->max_dma_maps);
	if (!rc)
		rc = pgsizes(caps, &out->pgsizes);
	if (!rc)
		rc = boolean(caps, "write_multiple", &out->write_multiple);
	if (!rc)
		rc = twin_socket(caps, out);
	return rc ? rc : ring3(caps, out);
}

int r3_vfio_user_caps_decode(const char *text, size_t len, struct r3_vfio_user_caps *out)
{
	struct json_tokener *tokener;
	struct json_object *data;
	int rc;

	r3_vfio_user_caps_default(out);
	if (!text)
		return 0;
	if (len >= R3_VFIO_USER_CAPS_MAX)
		return r3_error_set(EINVAL, "version data of %zu bytes: at most %u are read", len,
				    R3_VFIO_USER_CAPS_MAX);
	tokener = json_tokener_new_ex(DEPTH_MAX);
	if (!tokener)
		return r3_error_set(ENOMEM, "no memory for the peer's version data");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	data = json_tokener_parse_ex(tokener, text, (int)len);
	/* A bare number or an unended text is "to be continued". */
	if (json_tokener_get_error(tokener) != json_tokener_success)
		rc = r3_error_set(EINVAL, "the peer's version data is no JSON: %s",
				  json_tokener_error_desc(json_tokener_get_error(tokener)));
	else
		rc = decode(data, out);
	json_object_put(data);
	json_tokener_free(tokener);
	return rc;
}

/* Appends to the text, which is long enough for all that caps can hold. */
static size_t add(char *out, size_t at, const char *fmt, ...) R3_PRINTF(3, 4);
static size_t add(char *out, size_t at, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(out + at, R3_VFIO_USER_CAPS_MAX - at, fmt, args);
	va_end(args);
	return at + (size_t)n;
}

size_t r3_vfio_user_caps_encode(const struct r3_vfio_user_caps *caps,
				char out[R3_VFIO_USER_CAPS_MAX])
{
	size_t at =
		add(out, 0,
		    "{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%u,"
		    "\"max_dma_maps\":%u,\"pgsizes\":%" PRIu64,
		    caps->max_msg_fds, caps->max_data_xfer_size, caps->max_dma_maps, caps->pgsizes);

	if (caps->twin_socket) {
		at = add(out, at, ",\"twin_socket\":{\"supported\":true");
		if (caps->twin_fd >= 0)
			at = add(out, at, ",\"fd_index\":%d", caps->twin_fd);
		at = add(out, at, "}");
	}
	if (caps->write_multiple)
		at = add(out, at, ",\"write_multiple\":true");
	if (caps->ring3) {
		at = add(out, at, ",\"ring3\":{");
		for (unsigned i = 0; i < caps->nwindows; i++)
			at = add(out, at, "%s[%" PRIu64 ",%" PRIu64 "]", i ? "," : "\"iova\":[",
				 caps->window[i].first, caps->window[i].last);
		if (caps->no_dma && !caps->nwindows)
			at = add(out, at, "\"iova\":[");
		at = add(out, at, caps->nwindows || caps->no_dma ? "]}" : "}");
	}
	return add(out, at, "}}") + 1;
}

int r3_vfio_user_version_agree(const struct vfio_user_version *version, uint16_t *minor)
{
	if (version->major != VFIO_USER_MAJOR)
		return r3_error_set(EINVAL, "the peer speaks version %u.%u of vfio-user, not %u",
				    version->major, version->minor, VFIO_USER_MAJOR);
	*minor = version->minor < VFIO_USER_MINOR ? version->minor : VFIO_USER_MINOR;
	return 0;
}
