/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * What the programs for traffic from outside share: reading a packet, and changing its addresses. IPv4 only.
 * Addresses, ports and lengths that come from packets are in network order, all else in host order.
 */
#ifndef TOLLGATE_NORTH_SOUTH_H
#define TOLLGATE_NORTH_SOUTH_H

#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* On to the next program, and after the last one to the stack. */
#define NEXT TC_ACT_UNSPEC
#define DROP TC_ACT_SHOT

/* More fragments, or an offset: without the first one there are no ports. */
#define FRAGMENT 0x3fff

/* How Cilium tells the endpoint's node which address the client asked for: copied into fragments, class 0, number 26. */
#define OPTION 0x9a

struct option {
	__u8 type;
	__u8 length;
	__be16 port;
	__be32 address;
};

/* A packet's addresses. */
struct flow {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 padding[3];
};

/* One end of a connection. */
struct end {
	__be32 address;
	__be16 port;
	__u16 padding;
};

_Static_assert(sizeof(struct option) == 8, "no hole");
_Static_assert(sizeof(struct flow) == 16, "no hole");
_Static_assert(sizeof(struct end) == 8, "no hole");

/* An IP header with room for the option. */
struct header {
	struct iphdr ip;
	struct option option;
};

struct packet {
	struct header header;
	struct flow flow;
	__u32 options; /* Bytes of options: none, or one `struct option`. */
	__u8 opens;    /* Whether it is a TCP connection's first. */
};

enum kind {
	OTHER,  /* None of ours. */
	PIECE,  /* A fragment: it has addresses, but no ports. */
	PACKET,
};

static __always_inline void *l4(void *data, __u32 options)
{
	return data + ETH_HLEN + sizeof(struct iphdr) + options;
}

/* Reads a TCP or UDP packet over IPv4 that has this many bytes of options. */
static __always_inline enum kind read_packet(struct __sk_buff *skb, __u32 options, struct packet *packet)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct udphdr *udp = l4(data, options);
	struct tcphdr *tcp = l4(data, options);

	if (skb->protocol != bpf_htons(ETH_P_IP) || l4(data, options) > end)
		return OTHER;
	if (ip->ihl * 4 != sizeof(*ip) + options)
		return OTHER;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return OTHER;
	packet->options = options;
	__builtin_memcpy(&packet->header.ip, ip, sizeof(*ip));
	if (options)
		__builtin_memcpy(&packet->header.option, ip + 1, sizeof(packet->header.option));
	packet->flow.source = ip->saddr;
	packet->flow.destination = ip->daddr;
	packet->flow.protocol = ip->protocol;
	if (ip->frag_off & bpf_htons(FRAGMENT))
		return PIECE;
	if ((void *)(udp + 1) > end)
		return OTHER;
	/* Both kinds have their ports in the same place. */
	packet->flow.source_port = udp->source;
	packet->flow.destination_port = udp->dest;
	if (ip->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return OTHER;
		packet->opens = tcp->syn && !tcp->ack;
	}
	return PACKET;
}

static __always_inline __u16 fold(__s64 sum)
{
	__u64 left = (__u32)sum;

	left = (left & 0xffff) + (left >> 16);
	left = (left & 0xffff) + (left >> 16);
	return (__u16)~left;
}

/* Writes the IP header with its checksum, and the option if the packet is to have one. */
static __always_inline int write_header(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr *ip = &packet->header.ip;

	ip->check = 0;
	if (packet->options) {
		ip->check = fold(bpf_csum_diff(0, 0, (void *)&packet->header, sizeof(struct header), 0));
		return !bpf_skb_store_bytes(skb, ETH_HLEN, &packet->header, sizeof(struct header), 0);
	}
	ip->check = fold(bpf_csum_diff(0, 0, (void *)ip, sizeof(*ip), 0));
	return !bpf_skb_store_bytes(skb, ETH_HLEN, ip, sizeof(*ip), 0);
}

/* Gives a packet, whose options are those in `packet`, other addresses and ports, and writes its headers. */
static __always_inline int readdress(struct __sk_buff *skb, struct packet *packet, const struct flow *to)
{
	struct flow *from = &packet->flow;
	int tcp = from->protocol == IPPROTO_TCP;
	__u32 start = ETH_HLEN + sizeof(struct iphdr) + packet->options;
	__u32 check = start + (tcp ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check));
	/* A datagram without a checksum stays so. */
	__u64 flags = tcp ? 0 : BPF_F_MARK_MANGLED_0;
	__be32 before[2] = { from->source, from->destination };
	__be32 after[2] = { to->source, to->destination };
	__u32 ports_before, ports_after;
	__s64 difference = bpf_csum_diff(before, sizeof(before), after, sizeof(after), 0);

	__builtin_memcpy(&ports_before, &from->source_port, sizeof(ports_before));
	__builtin_memcpy(&ports_after, &to->source_port, sizeof(ports_after));
	/* Only the addresses are part of the sum of a checksum that is still to be completed. */
	if (bpf_l4_csum_replace(skb, check, 0, (__u64)difference, flags | BPF_F_PSEUDO_HDR))
		return 0;
	if (bpf_l4_csum_replace(skb, check, ports_before, ports_after, flags | sizeof(ports_after)))
		return 0;
	if (bpf_skb_store_bytes(skb, start, &ports_after, sizeof(ports_after), 0))
		return 0;
	packet->header.ip.saddr = to->source;
	packet->header.ip.daddr = to->destination;
	return write_header(skb, packet);
}

#endif
