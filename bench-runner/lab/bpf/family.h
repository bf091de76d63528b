/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * What differs between the two address families: the length of an address and the hooks' names. The programs are
 * compiled once for each, with or without IPV6 defined.
 */
#ifndef TOLLGATE_FAMILY_H
#define TOLLGATE_FAMILY_H

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#ifdef IPV6
#define HOOK(name) SEC("cgroup/" name "6")
#define WORDS 4
#else
#define HOOK(name) SEC("cgroup/" name "4")
#define WORDS 1
#endif

/* An address in network order. */
struct address {
	__u32 word[WORDS];
};

/* The kernel takes accesses to the context only as single words, hence `volatile`. */

static __always_inline void read_address(struct bpf_sock_addr *ctx, struct address *address)
{
#ifdef IPV6
	address->word[0] = *(volatile __u32 *)&ctx->user_ip6[0];
	address->word[1] = *(volatile __u32 *)&ctx->user_ip6[1];
	address->word[2] = *(volatile __u32 *)&ctx->user_ip6[2];
	address->word[3] = *(volatile __u32 *)&ctx->user_ip6[3];
#else
	address->word[0] = *(volatile __u32 *)&ctx->user_ip4;
#endif
}

static __always_inline void write_address(struct bpf_sock_addr *ctx, const struct address *address)
{
#ifdef IPV6
	*(volatile __u32 *)&ctx->user_ip6[0] = address->word[0];
	*(volatile __u32 *)&ctx->user_ip6[1] = address->word[1];
	*(volatile __u32 *)&ctx->user_ip6[2] = address->word[2];
	*(volatile __u32 *)&ctx->user_ip6[3] = address->word[3];
#else
	*(volatile __u32 *)&ctx->user_ip4 = address->word[0];
#endif
}

#endif
