/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * Services and their backends, laid out as Cilium's, and how one is chosen. src/bpf/entries.rs writes the same bytes,
 * so every hole is a named field: the kernel compares keys with their holes. Addresses and ports are in network
 * order, all else in host order. The lab sets the number of entries before loading.
 */
#ifndef TOLLGATE_SERVICES_H
#define TOLLGATE_SERVICES_H

#include "family.h"

#define TCP 6
#define UDP 17
#define NS_PER_S 1000000000ULL

/* A service's own entry has slot 0; its backends have slots 1 to count. */
struct service_key {
	struct address address;
	__u16 port;
	__u16 slot;
	__u8 protocol;
	__u8 padding[3];
};

struct service {
	union {
		__u32 backend;          /* Its number, in slots from 1. */
		__u32 affinity_seconds; /* How long a client stays with its backend, in slot 0; 0 is not at all. */
	};
	__u16 count; /* Backends, in slot 0. */
	__u16 padding;
};

struct backend {
	struct address address;
	__u16 port;
	__u16 padding;
};

/* Who asked which service: a network namespace at the socket, an address for packets. */
struct client {
	__u64 cookie;
	struct address address;
	struct service_key service;
} __attribute__((packed, aligned(4)));

/* Which backend a client stays with, and when it last asked. */
struct kept {
	__u64 asked_ns;
	__u32 backend;
	__u32 padding;
};

_Static_assert(sizeof(struct service_key) == sizeof(struct address) + 8, "no hole");
_Static_assert(sizeof(struct service) == 8, "no hole");
_Static_assert(sizeof(struct backend) == sizeof(struct address) + 4, "no hole");
_Static_assert(sizeof(struct client) == 2 * sizeof(struct address) + 16, "no hole");

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

/* The clients that were longest silent give way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct client);
	__type(value, struct kept);
} affinity SEC(".maps");

/* Returns the backend that a client stays with, if the service keeps clients and it asked not long ago. */
static __always_inline const struct backend *stays(const struct service *service,
						   const struct client *client)
{
	struct kept *kept = bpf_map_lookup_elem(&affinity, client);
	__u64 now = bpf_ktime_get_ns();

	if (!kept || now - kept->asked_ns > service->affinity_seconds * NS_PER_S)
		return 0;
	kept->asked_ns = now;
	return bpf_map_lookup_elem(&backends, &kept->backend);
}

/* Chooses a backend of the service whose own entry `key` leads to: the client's, else the one that `lot` draws. */
static __always_inline const struct backend *choose(struct service_key *key,
						    const struct service *service,
						    const struct client *client, __u32 lot)
{
	const struct backend *backend;
	struct kept kept = {};
	__u32 keeps = service->affinity_seconds;

	if (keeps) {
		backend = stays(service, client);
		if (backend)
			return backend;
	}
	key->slot = lot % service->count + 1;
	service = bpf_map_lookup_elem(&services, key);
	if (!service)
		return 0;
	if (keeps) {
		kept.asked_ns = bpf_ktime_get_ns();
		kept.backend = service->backend;
		bpf_map_update_elem(&affinity, client, &kept, BPF_ANY);
	}
	return bpf_map_lookup_elem(&backends, &service->backend);
}

#endif
