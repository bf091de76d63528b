/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * The maps, laid out as Cilium's. src/bpf/entries.rs writes the same bytes, so every hole is a named field: the
 * kernel compares keys with their holes. Addresses and ports are in network order, all else in host order.
 * The lab sets the number of entries before loading.
 */
#ifndef TOLLGATE_MAPS_H
#define TOLLGATE_MAPS_H

#include "family.h"

/* A service's own entry has slot 0; its backends have slots 1 to count. */
struct service_key {
	struct address address;
	__u16 port;
	__u16 slot;
	__u8 protocol;
	__u8 padding[3];
};

struct service {
	__u32 backend; /* Its number, in slots from 1. */
	__u16 count;   /* Backends, in slot 0. */
	__u16 padding;
};

struct backend {
	struct address address;
	__u16 port;
	__u16 padding;
};

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

_Static_assert(sizeof(struct service_key) == sizeof(struct address) + 8, "no hole");
_Static_assert(sizeof(struct service) == 8, "no hole");
_Static_assert(sizeof(struct backend) == sizeof(struct address) + 4, "no hole");
_Static_assert(sizeof(struct translated) == sizeof(struct address) + 12, "no hole");
_Static_assert(sizeof(struct original) == sizeof(struct address) + 4, "no hole");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

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
