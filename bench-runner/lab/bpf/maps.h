/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* What the load balancer at the socket remembers of sockets, laid out as Cilium's; no hole is unnamed. */
#ifndef TOLLGATE_MAPS_H
#define TOLLGATE_MAPS_H

#include "services.h"

/* A translated socket, and what it believes to talk to. Aligned to 4, as all its other members are, so that it
 * has no hole in either family. */
struct translated {
	__u64 cookie;
	struct address address;
	__u16 port;
	__u16 padding;
} __attribute__((packed, aligned(4)));

struct original {
	struct address address;
	__u16 port;
	__u16 padding;
};

_Static_assert(sizeof(struct translated) == sizeof(struct address) + 12, "no hole");
_Static_assert(sizeof(struct original) == sizeof(struct address) + 4, "no hole");

/* The oldest entries give way: each connect() leaves one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct translated);
	__type(value, struct original);
} originals SEC(".maps");

/* How many connects and sends were translated: the evidence that this path was taken. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} translations SEC(".maps");

#endif
