/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * Load balancing at the socket, as Cilium does it for traffic between pods: connect() and sendmsg() to a service go
 * to one of its backends instead, so no packet ever carries the service's address. recvmsg() and getpeername()
 * put that address back for the program to see.
 */
#include "maps.h"

#define PROCEED 1

static __always_inline void count_translation(void)
{
	__u32 only = 0;
	__u64 *count = bpf_map_lookup_elem(&translations, &only);

	if (count)
		*count += 1;
}

/* TCP draws a backend for each connection; a UDP socket keeps its own. */
static __always_inline __u32 draw(struct bpf_sock_addr *ctx, __u64 cookie)
{
	return ctx->protocol == TCP ? bpf_get_prandom_u32() : (__u32)cookie;
}

static __always_inline const struct backend *find(struct service_key *key,
						  struct bpf_sock_addr *ctx, __u64 cookie)
{
	const struct service *service = bpf_map_lookup_elem(&services, key);
	struct client client = {};

	if (!service || !service->count)
		return 0;
	if (service->affinity_seconds) {
		client.cookie = bpf_get_netns_cookie(ctx);
		client.service = *key;
	}
	return choose(key, service, &client, draw(ctx, cookie));
}

static __always_inline int forward(struct bpf_sock_addr *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct service_key key = {
		.port = (__u16)ctx->user_port,
		.protocol = (__u8)ctx->protocol,
	};
	struct translated translated = { .cookie = cookie };
	struct original original = { .port = key.port };
	const struct backend *backend;

	read_address(ctx, &key.address);
	original.address = key.address;
	backend = find(&key, ctx, cookie);
	if (!backend)
		return PROCEED;

	translated.address = backend->address;
	translated.port = backend->port;
	/* Without this entry the program would see the backend's address: leave the socket alone then. */
	if (bpf_map_update_elem(&originals, &translated, &original, BPF_ANY))
		return PROCEED;
	write_address(ctx, &backend->address);
	ctx->user_port = backend->port;
	count_translation();
	return PROCEED;
}

static __always_inline int back(struct bpf_sock_addr *ctx)
{
	struct translated translated = {
		.cookie = bpf_get_socket_cookie(ctx),
		.port = (__u16)ctx->user_port,
	};
	const struct original *original;

	read_address(ctx, &translated.address);
	original = bpf_map_lookup_elem(&originals, &translated);
	if (original) {
		write_address(ctx, &original->address);
		ctx->user_port = original->port;
	}
	return PROCEED;
}

HOOK("connect")
int on_connect(struct bpf_sock_addr *ctx)
{
	return forward(ctx);
}

HOOK("sendmsg")
int on_sendmsg(struct bpf_sock_addr *ctx)
{
	return forward(ctx);
}

HOOK("recvmsg")
int on_recvmsg(struct bpf_sock_addr *ctx)
{
	return back(ctx);
}

HOOK("getpeername")
int on_getpeername(struct bpf_sock_addr *ctx)
{
	return back(ctx);
}

char _license[] SEC("license") = "Dual MIT/GPL";
